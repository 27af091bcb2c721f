package configs

import (
	"fmt"
	"strings"
)

// Origin is where a value comes from: a line of the file, a variable of the environment, or
// neither, which is the default.
type Origin struct {
	File     string
	Line     int
	Variable string
}

// String returns FILE:LINE, the name of the variable, or "default".
func (o Origin) String() string {
	switch {
	case o.Variable != "":
		return "environment " + o.Variable
	case o.Line > 0:
		return fmt.Sprintf("%s:%d", o.File, o.Line)
	case o.File != "":
		return o.File
	}
	return "default"
}

// Finding is something that is to be said of a value.
type Finding struct {
	Origin  Origin
	Key     string // empty: it is about the line
	Problem string
}

// String returns the finding as one line: where, key, what.
func (f Finding) String() string {
	if f.Key == "" {
		return f.Origin.String() + ": " + f.Problem
	}
	return f.Origin.String() + ": " + f.Key + ": " + f.Problem
}

// maxFindings is how many of a kind are kept: whoever gives the server a file of another kind is
// not told of each of its lines.
const maxFindings = 100

// findings are the first of a kind, and how many there were beyond them.
type findings struct {
	list []Finding
	more int
}

func (f *findings) add(found Finding) {
	if len(f.list) < maxFindings {
		f.list = append(f.list, found)
	} else {
		f.more++
	}
}

// Faults is the error of a configuration that cannot be used: everything that is wrong with it.
type Faults struct {
	List     []Finding
	More     int       // beyond those in the list
	Warnings []Finding // what would be warned of beside
}

// Error returns a line for each fault.
func (f *Faults) Error() string {
	var b strings.Builder
	for i, fault := range f.List {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(fault.String())
	}
	if f.More > 0 {
		fmt.Fprintf(&b, "\nand %d more", f.More)
	}
	return b.String()
}
