//go:build !linux

package bare

func measure(Config, bool) (Cost, error) { return Cost{}, ErrUnsupported }
