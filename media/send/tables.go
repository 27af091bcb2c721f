package send

// Tables lends the streams of one shard what few of them need at a time: where to note what
// was sent again (2 KiB, for as long as that is remembered), and the runs of numbers before
// the newest one (1 KiB, while they are in the window). It never gives memory back: there are
// as many tables as streams were in need of one at one time. The zero value is ready and
// allocates as it has to lend more than ever before. It belongs to the shard's goroutine and
// is not copied.
type Tables struct {
	resends []*resendTable
	runs    []*runTable
	lent    int
}

// Lent returns how many tables of both kinds are lent now.
func (t *Tables) Lent() int { return t.lent }

// runTable holds the closed runs of a munger.
type runTable [maxRuns - 1]run

func (t *Tables) takeResends() *resendTable {
	if t == nil {
		return new(resendTable)
	}
	t.lent++
	if len(t.resends) == 0 {
		return new(resendTable)
	}
	e := t.resends[len(t.resends)-1]
	t.resends = t.resends[:len(t.resends)-1]
	*e = resendTable{}
	return e
}

func (t *Tables) putResends(e **resendTable) {
	if t != nil && *e != nil {
		t.resends = append(t.resends, *e)
		t.lent--
	}
	*e = nil
}

func (t *Tables) takeRuns() *runTable {
	if t == nil {
		return new(runTable)
	}
	t.lent++
	if len(t.runs) == 0 {
		return new(runTable)
	}
	e := t.runs[len(t.runs)-1]
	t.runs = t.runs[:len(t.runs)-1]
	return e
}

func (t *Tables) putRuns(e **runTable) {
	if t != nil && *e != nil {
		t.runs = append(t.runs, *e)
		t.lent--
	}
	*e = nil
}
