package proc

import (
	"os/exec"
	"runtime"
	"runtime/debug"
	"strings"

	"tsubame/bench/report"
)

// Describe says on what a run takes place. What cannot be found out is empty. CPUs is how many
// this process may use; Commit is that of the work tree dir, with "-dirty" behind it if files
// that git tracks were changed, or the one this binary was built from where dir is none.
func Describe(dir string) report.Machine {
	m := report.Machine{
		CPU:    cpuModel(),
		CPUs:   runtime.NumCPU(),
		Memory: memory(),
		Kernel: kernel(),
		Go:     runtime.Version(),
		Commit: commit(dir),
	}
	if m.CPU == "" {
		m.CPU = runtime.GOARCH
	}
	return m
}

func commit(dir string) string {
	git := exec.Command("git", "describe", "--always", "--dirty", "--abbrev=10", "--exclude=*")
	git.Dir = dir
	if out, err := git.Output(); err == nil {
		return strings.TrimSpace(string(out))
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	return revision(info.Settings)
}

// revision is what the go command wrote into the binary, in the form of git describe.
func revision(settings []debug.BuildSetting) string {
	hash, dirty := "", ""
	for _, s := range settings {
		switch {
		case s.Key == "vcs.revision":
			hash = s.Value[:min(len(s.Value), 10)]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "-dirty"
		}
	}
	if hash == "" {
		return ""
	}
	return hash + dirty
}
