// Package hooks tells an application over HTTP what happens, and asks it what may.
package hooks
