package configs

// Change is a key that has another value than before.
type Change struct {
	Key      string
	Old, New string // as anybody may see them; empty: absent
	Reload   bool   // it can change while the server runs
}

// Diff returns the keys in which two configurations differ, in the order of the reference file. Keys
// without effect are left out.
func Diff(old, wanted Config) []Change {
	var changes []Change
	for i := range keys {
		k := &keys[i]
		before, wasSet := k.get(&old)
		after, isSet := k.get(&wanted)
		if k.idle != "" || before == after && wasSet == isSet {
			continue
		}
		c := Change{Key: k.name, Reload: k.reload}
		c.Old, _ = k.shown(&old)
		c.New, _ = k.shown(&wanted)
		changes = append(changes, c)
	}
	return changes
}

// Merge returns the running configuration with what can change while the server runs taken from
// another. The error, of type *Faults, says what of that goes against what has to stay.
func Merge(running, wanted Config) (Config, error) {
	merged := running
	for i := range keys {
		if k := &keys[i]; k.reload || k.idle != "" {
			k.copy(&merged, &wanted)
		}
	}
	var faults findings
	for _, x := range merged.contradictions() {
		faults.add(Finding{Origin: Origin{File: "reload"}, Key: x.key, Problem: x.problem + " (beside what needs a restart)"})
	}
	if len(faults.list) > 0 {
		return running, &Faults{List: faults.list, More: faults.more}
	}
	return merged, nil
}
