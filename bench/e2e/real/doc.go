// Package real holds the tests of tsubame-bench as a process, against servers that are
// processes: what the fakes of the packages it is made of cannot show. There is nothing to
// import.
package real
