package netio

// addPollers adds epoll without epoll_pwait2, as on a kernel before 5.11.
func addPollers(all map[string]func() (poller, error)) {
	all["coarse epoll"] = func() (poller, error) {
		p, err := newEpoller()
		if err == nil {
			p.coarse = true
		}
		return p, err
	}
}
