// Package browser tests the server with real clients: headless Chromium with the
// server's own page, and the official, unmodified JavaScript SDK. The tests have
// the build tag "browser", so that quick checks can leave them out; `make test`
// runs them. They need Chromium and the SDK, which install.sh brings. Nothing in
// it is imported elsewhere, and each test starts a server of its own.
//
// Tests that measure run first and one after the other. One test lasts four minutes,
// TestSDKChurn, and runs last with those that measure nothing beside it (besideChurn).
// -churn 30s makes it shorter (-short: 20 s), -churn-seed N has its clients do again what
// they did in a run that printed this number. With the tag "soak" there is one more, which
// `make soak` runs: a call through TURN of twenty minutes.
package browser
