package main

import (
	"flag"
	"fmt"
	"io"
	"os"
)

// printCommand writes every key with the value that a server started here would follow, and where
// that comes from. What it writes can be used as a configuration, once the secrets are filled in.
func printCommand(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("tsubame print-config", flag.ContinueOnError)
	flags.SetOutput(stderr)
	file := flags.String("c", "", "configuration `file`; without it the defaults and the environment are printed")
	if code, ok := parseFlags(flags, args); !ok {
		return code
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(stderr, "tsubame: unexpected argument %q; the configuration goes behind -c\n", flags.Arg(0))
		return 2
	}
	return printSettings(settingsSource{file: *file, environ: os.Environ}, stdout, stderr)
}

func printSettings(source settingsSource, stdout, stderr io.Writer) int {
	loaded, err := source.read()
	if err != nil {
		reportFaults(stderr, err)
		return 1
	}
	if _, err := stdout.Write(loaded.Append(nil)); err != nil {
		fmt.Fprintf(stderr, "tsubame: %v\n", err)
		return 1
	}
	return 0
}
