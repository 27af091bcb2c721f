package sora

import (
	"bytes"
	"unicode/utf8"

	"github.com/valyala/fastjson"
)

const (
	reasonInvalidFilter  = "INVALID-FORWARDING-FILTER"
	reasonInvalidFilters = "INVALID-FORWARDING-FILTERS"
)

// dataChannels reads data_channels; nil: none.
func (f fields) dataChannels() []DataChannel {
	list := f.array("data_channels", MaxDataChannels)
	if len(list) == 0 {
		return nil
	}
	out := make([]DataChannel, 0, len(list))
	for _, v := range list {
		if v.Type() != fastjson.TypeObject {
			f.invalid("data_channels")
			return nil
		}
		c := f.in(v, reasonInvalidChannels, "data_channels").dataChannel()
		for i := range out {
			if out[i].Label == c.Label {
				f.d.fail(reasonInvalidChannels, "a label twice")
			}
		}
		out = append(out, c)
	}
	return out
}

func (f fields) dataChannel() DataChannel {
	c := DataChannel{
		Label:             f.id("label"),
		Direction:         f.word("direction", "sendrecv", "sendonly", "recvonly"),
		Ordered:           f.boolean("ordered", true),
		MaxPacketLifeTime: f.number("max_packet_life_time", 0, 65535, -1),
		MaxRetransmits:    f.number("max_retransmits", 0, 65535, -1),
		Protocol:          f.name("protocol"),
		Compress:          f.boolean("compress", false),
	}
	if c.Label == "" || c.Label[0] != '#' || utf8.RuneCountInString(c.Label) > maxLabel {
		f.invalid("label")
	}
	if c.Direction == "" {
		f.invalid("direction")
	}
	// Both cannot be said to SCTP (RFC 8832 section 5.1).
	if c.MaxPacketLifeTime >= 0 && c.MaxRetransmits >= 0 {
		f.invalid("max_retransmits")
	}
	// There is one kind of field, so the list has at most one.
	for _, v := range f.array("header", 1) {
		if v.Type() != fastjson.TypeObject {
			f.invalid("header")
			break
		}
		in := f.in(v, f.reason, "data_channels.header")
		if in.word("type", "sender_connection_id") == "" {
			in.invalid("type")
		}
		c.SenderConnectionID = true
	}
	return c
}

// forwardingFilter reads the singular form, which is deprecated.
func (f fields) forwardingFilter() *ForwardingFilter {
	o := f.object("forwarding_filter")
	if o == nil {
		return nil
	}
	values := maxRuleValues
	filter := f.in(o, reasonInvalidFilter, "forwarding_filter").filter(f.d.raw.filter, &values)
	return &filter
}

// forwardingFilters reads the list; nil: none.
func (f fields) forwardingFilters() []ForwardingFilter {
	list := f.array("forwarding_filters", maxFilters)
	if len(list) == 0 {
		return nil
	}
	values := maxRuleValues
	out := make([]ForwardingFilter, 0, len(list))
	for raw := range elements(f.d.raw.filters) {
		v := list[len(out)]
		if v.Type() != fastjson.TypeObject {
			f.invalid("forwarding_filters")
			return nil
		}
		filter := f.in(v, reasonInvalidFilters, "forwarding_filters").filter(raw, &values)
		for i := range out {
			if filter.Name != "" && out[i].Name == filter.Name {
				f.d.fail(reasonInvalidFilters, "a name twice")
			}
		}
		out = append(out, filter)
	}
	return out
}

// filter reads one filter, whose text is raw. Its rules' values are taken off values.
func (f fields) filter(raw []byte, values *int) ForwardingFilter {
	filter := ForwardingFilter{
		Name:     f.name("name"),
		Action:   f.word("action", "block", "allow"),
		Priority: f.number("priority", 0, 65535, DefaultPriority),
		Version:  f.name("version"),
	}
	if filter.Action == "" {
		filter.Action = "block"
	}
	if f.v.Exists("metadata") {
		metadata := member(raw, "metadata")
		if len(metadata) > maxFilterMetadata {
			f.invalid("metadata")
		} else {
			filter.Metadata = bytes.Clone(metadata)
		}
	}
	for _, v := range f.array("rules", maxRules) {
		all, err := v.Array()
		if err != nil || len(all) > maxRules {
			f.invalid("rules")
			break
		}
		rules := make([]ForwardingRule, 0, len(all))
		for _, v := range all {
			if v.Type() != fastjson.TypeObject {
				f.invalid("rules")
				break
			}
			rules = append(rules, f.in(v, f.reason, f.path+".rules").rule(values))
		}
		filter.Rules = append(filter.Rules, rules)
	}
	return filter
}

func (f fields) rule(values *int) ForwardingRule {
	r := ForwardingRule{
		Field:    f.word("field", "connection_id", "client_id", "kind"),
		Operator: f.word("operator", "is_in", "is_not_in"),
	}
	switch {
	case r.Field == "":
		f.invalid("field")
	case r.Operator == "":
		f.invalid("operator")
	case f.get("values") == nil:
		f.invalid("values")
	}
	list := f.array("values", *values)
	*values -= len(list)
	for _, v := range list {
		s, err := v.StringBytes()
		if err != nil || !isName(s) || r.Field == "kind" && string(s) != "audio" && string(s) != "video" {
			f.invalid("values")
			break
		}
		r.Values = append(r.Values, string(s))
	}
	return r
}
