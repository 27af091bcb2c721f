package process

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
)

// writeConfig fills in ports and log format and writes the file.
func (p *Process) writeConfig(file string, given map[string]string) error {
	config := map[string]string{
		"log_format": "json",
		// The default ports of these are for one server on a machine.
		"debug_listen": "off", "turn_tcp_listen_port": "0",
	}
	maps.Copy(config, given)
	var err error
	if p.signalingPort, err = portFor(config, "signaling_port", "tcp"); err != nil {
		return err
	}
	if p.udpPort, err = portFor(config, "udp_port", "udp"); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(configText(config)), 0o644)
}

// configText writes settings in the order of their names.
func configText(all map[string]string) string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&b, "%s = %s\n", key, all[key])
	}
	return b.String()
}

// portFor returns the port under key, and puts a free one there if none is set.
func portFor(config map[string]string, key, network string) (int, error) {
	if text, ok := config[key]; ok {
		return strconv.Atoi(text)
	}
	port, err := freePort(network)
	config[key] = strconv.Itoa(port)
	return port, err
}

// freePort returns a port that is free at every local address. It lies below those that the
// kernel gives to clients by default: thousands of connections of a run before may still
// hold some of these.
func freePort(network string) (int, error) {
	const low, high, tries = 20_000, 32_000, 100
	var err error
	for range tries {
		port := low + rand.IntN(high-low)
		var c io.Closer
		if network == "tcp" {
			c, err = net.Listen("tcp", fmt.Sprintf(":%d", port))
		} else {
			c, err = net.ListenPacket("udp", fmt.Sprintf(":%d", port))
		}
		if err == nil {
			return port, c.Close()
		}
	}
	return 0, errors.Join(errors.New("no free port"), err)
}

// portOf reads a port from "5000", "127.0.0.1:5000" or "http://127.0.0.1:5000/".
func portOf(v any) (int, bool) {
	text := strings.TrimRight(fmt.Sprint(v), "/")
	if i := strings.LastIndexByte(text, ':'); i >= 0 {
		text = text[i+1:]
	}
	text, _, _ = strings.Cut(text, "/")
	port, err := strconv.Atoi(text)
	return port, err == nil && port > 0 && port < 1<<16
}

// inUse reports whether the output of a server says that another has its port.
func inUse(text string) bool { return strings.Contains(text, "address already in use") }
