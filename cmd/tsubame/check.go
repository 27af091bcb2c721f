package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"tsubame/configs"
)

// checkCommand says what a server started with the file, in this environment, would find wrong
// with the configuration. Nothing is opened but the files that it names. The code is 1 if the
// server would not start.
func checkCommand(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("tsubame check-config", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprintln(stderr, "tsubame check-config FILE") }
	if code, ok := parseFlags(flags, args); !ok {
		return code
	}
	if flags.NArg() != 1 {
		flags.Usage()
		return 2
	}
	return check(settingsSource{file: flags.Arg(0), environ: os.Environ}, stdout, stderr)
}

func check(source settingsSource, stdout, stderr io.Writer) int {
	loaded, err := source.read()
	if err == nil {
		printWarnings(stdout, loaded.Warnings, loaded.MoreWarnings)
		fmt.Fprintf(stdout, "%s: ok\n", source.file)
		return 0
	}
	var faults *configs.Faults
	if !errors.As(err, &faults) {
		fmt.Fprintln(stderr, err)
		return 1
	}
	printWarnings(stdout, faults.Warnings, 0)
	fmt.Fprintln(stderr, faults)
	return 1
}

func printWarnings(w io.Writer, warnings []configs.Finding, more int) {
	for _, warning := range warnings {
		fmt.Fprintf(w, "%v (warning)\n", warning)
	}
	if more > 0 {
		fmt.Fprintf(w, "and %d more warnings\n", more)
	}
}
