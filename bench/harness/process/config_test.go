package process

import "testing"

func TestSettingsAreWrittenInOrder(t *testing.T) {
	if got := configText(map[string]string{"b": "2", "a": "x y"}); got != "a = x y\nb = 2\n" {
		t.Errorf("%q", got)
	}
}

func TestFreePortsAreBelowThoseOfClients(t *testing.T) {
	for _, network := range []string{"tcp", "udp"} {
		port, err := freePort(network)
		if err != nil || port < 20_000 || port >= 32_000 {
			t.Errorf("%s: %d, %v", network, port, err)
		}
	}
}

func TestPortIsFoundInEveryFormOfAddress(t *testing.T) {
	for text, want := range map[string]int{
		"5000": 5000, "127.0.0.1:5000": 5000, "http://127.0.0.1:5000/": 5000,
		"[::]:3478": 3478, "ws://h:81/signaling": 81,
		"": 0, "http://host/": 0, "0": 0, "70000": 0,
	} {
		if got, ok := portOf(text); got != want && ok || ok != (want != 0) {
			t.Errorf("%q: %d, %v", text, got, ok)
		}
	}
}
