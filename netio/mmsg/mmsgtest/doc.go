// Package mmsgtest has what the tests of netio and its neighbours share: network namespaces,
// and a Socket that fails on demand. No program links it. Its values belong to the test's own
// goroutine unless a method says otherwise.
package mmsgtest
