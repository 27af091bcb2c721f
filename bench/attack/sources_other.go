//go:build !linux

package attack

import (
	"errors"
	"net/netip"
)

// sourceControls knows no way of sending from several addresses elsewhere.
func sourceControls(sources []netip.Addr) ([][]byte, error) {
	if len(sources) > 0 {
		return nil, errors.New("attack: several sources are for Linux only")
	}
	return nil, nil
}
