package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"
)

// debugServer serves the profiler and what is known of connections on a listener of its own, so that it is never reachable by
// the port that clients know.
type debugServer struct {
	http *http.Server
	addr string
	done chan struct{}
}

// serveDebug serves the profiler and the list of connections on address, or does nothing if that is empty. That the address is taken, by
// another server on this machine say, is a warning: nobody's call depends on the profiler.
func serveDebug(address string, networks networks, log *slog.Logger) *debugServer {
	if address == "" {
		return nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		log.Warn("debug_listen: the profiler is not available", "error", err)
		return nil
	}
	if ip := listener.Addr().(*net.TCPAddr).IP; !ip.IsLoopback() {
		log.Warn("debug_listen is not a loopback address: whoever reaches it reads this process's memory", "address", address)
	}
	d := &debugServer{
		http: &http.Server{Handler: debugRoutes(networks), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute},
		addr: listener.Addr().String(), done: make(chan struct{}),
	}
	go func() {
		defer close(d.done)
		if err := d.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Warn("the profiler's server ended", "error", err)
		}
	}()
	log.Info("profiler", "url", "http://"+d.addr+"/debug/pprof/")
	return d
}

// debugRoutes are named one by one: net/http/pprof puts itself into the default mux, which
// nothing else of ours serves.
func debugRoutes(networks networks) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/connections", networks.serve)
	return mux
}

// stop ends it, profiles that are being taken too.
func (d *debugServer) stop(ctx context.Context) error {
	if d == nil {
		return nil
	}
	err := d.http.Shutdown(ctx)
	if err != nil { // somebody is taking a profile: not worth waiting for
		err = d.http.Close()
	}
	<-d.done
	if err != nil {
		return fmt.Errorf("debug_listen: %w", err)
	}
	return nil
}
