//go:build unix && !linux

package ring

func openWaker() (rfd, wfd int, err error) { return openPipe() }
