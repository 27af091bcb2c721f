// Package netns makes network namespaces for the tests of netio and its neighbours. No program
// links it. A Namespace belongs to its test's goroutine.
package netns
