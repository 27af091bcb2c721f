// Package mmsgtest has a Socket that fails on demand, for the tests of whatever runs on one. No
// program links it. The wrapped Socket's own rules say who may call its methods.
package mmsgtest
