package channel

// MaxUpdatedToAll is for tests.
const MaxUpdatedToAll = maxUpdatedToAll
