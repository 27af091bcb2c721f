package configs

// Append writes every key with its effective value, and above each, as a comment, where that comes
// from. It is a configuration of the same meaning, but that secrets are blanked.
func (l *Loaded) Append(dst []byte) []byte {
	for i := range keys {
		k := &keys[i]
		if i > 0 {
			dst = append(dst, '\n')
		}
		text, ok := k.shown(&l.Config)
		if !ok {
			dst = append(dst, "# not set\n# "+k.name+" =\n"...)
			continue
		}
		dst = append(dst, "# "+l.Origin(k.name).String()+"\n"+k.name+" = "+text+"\n"...)
	}
	return dst
}
