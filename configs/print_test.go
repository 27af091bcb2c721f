package configs

import (
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// loaded reads a configuration with the origins of its values.
func loaded(t testing.TB, text string) *Loaded {
	t.Helper()
	r := newReader()
	r.file("f", []byte(text))
	l, err := r.end()
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return l
}

// unhide puts the one secret back.
func unhide(printed, password string) string {
	return strings.Replace(printed, "\nwebhook_basic_authn_password = "+hidden+"\n", "\nwebhook_basic_authn_password = "+password+"\n", 1)
}

// requireSame wants what is printed of a configuration to have the same meaning.
func requireSame(t testing.TB, l *Loaded) {
	t.Helper()
	printed := unhide(string(l.Append(nil)), l.Config.Webhooks.Password)
	again, _, err := Parse("printed", []byte(printed))
	if err != nil || !reflect.DeepEqual(again, l.Config) {
		t.Fatalf("%v\ngot  %+v\nwant %+v\nfrom %s", err, again, l.Config, printed)
	}
}

func TestEveryValueIsPrintedAsItIsRead(t *testing.T) {
	for i := range keys {
		k := &keys[i]
		for _, value := range samplesOf(t, k) {
			l := loaded(t, with(k.name, value))
			if reflect.DeepEqual(l.Config, Defaults()) {
				t.Errorf("%s = %s: nothing is set", k.name, value)
			}
			requireSame(t, l)
		}
	}
}

func TestManyValuesTogetherArePrintedAsTheyAreRead(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	for range 6 {
		settings := map[string]string{}
		for _, i := range random.Perm(len(keys)) {
			k := &keys[i]
			list := samplesOf(t, k)
			if len(list) == 0 || random.IntN(3) == 0 {
				continue
			}
			settings[k.name] = list[random.IntN(len(list))]
			if _, _, err := Parse("f", []byte(lines(settings))); err != nil {
				delete(settings, k.name) // it goes against one that is there
			}
		}
		if len(settings) < len(keys)/3 {
			t.Fatalf("seed %d: only %d keys go together", seed, len(settings))
		}
		requireSame(t, loaded(t, lines(settings)))
	}
}

func TestPrintedValuesSayWhereTheyComeFrom(t *testing.T) {
	r := newReader()
	r.file("f.conf", []byte("# x\nlabel = file\nlog_level = warn\nwebhook_tls_verify_cacert_path = ca.pem"))
	r.environment([]string{"TSUBAME_LOG_LEVEL=debug"})
	l, err := r.end()
	if err != nil {
		t.Fatal(err)
	}
	printed := "\n" + string(l.Append(nil))
	for _, want := range []string{
		"\n# f.conf:2\nlabel = file\n",
		"\n# environment TSUBAME_LOG_LEVEL\nlog_level = debug\n",
		"\n# default\nsignaling_port = 5000\n",
		"\n# not set\n# turn_fqdn =\n",
		"\n# f.conf:4\nwebhook_tls_verify_cacert_file = ca.pem\n",
		"\n# default\ncluster = false\n",
		"\n# not set\n# api_port =\n",
	} {
		if !strings.Contains(printed, want) {
			t.Errorf("%q is not in\n%s", want, printed)
		}
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	for text, want := range map[string]string{
		"webhook_basic_authn_password = s3cret":                "webhook_basic_authn_password = ***",
		"auth_webhook_url = http://u:s3cret@a.example/x?y":     "auth_webhook_url = http://***@a.example/x?y",
		"session_webhook_url = http://s3cret@a.example":        "session_webhook_url = http://***@a.example",
		"stats_collector_url = https://u:s3cret@a.example?b@c": "stats_collector_url = https://***@a.example?b@c",
		"audio_streaming_url = https://u:s3cret@a.example/":    "audio_streaming_url = https://***@a.example/",
		"event_webhook_url = http://a.example/@b":              "event_webhook_url = http://a.example/@b",
	} {
		l := loaded(t, text)
		printed := string(l.Append(nil))
		if strings.Contains(printed, "s3cret") || !strings.Contains(printed, "\n"+want+"\n") {
			t.Errorf("%q is printed as\n%s", text, printed)
		}
		if _, _, err := Parse("printed", []byte(printed)); err != nil {
			t.Errorf("%q: what is printed is not read: %v", text, err)
		}
		if changes := Diff(Defaults(), l.Config); len(changes) == 1 && strings.Contains(changes[0].New, "s3cret") {
			t.Errorf("%q is in the change: %+v", text, changes)
		}
	}
}

func TestFaultsDoNotRepeatSecrets(t *testing.T) {
	for _, text := range []string{
		"webhook_basic_authn_password = s3cret\x01",
		"webhook_basic_authn_password = s3cret" + strings.Repeat("x", 255),
		"auth_webhook_url = htp://u:s3cret@a.example",
		"auth_webhook_url = http://u:s3cret@a.example/%zz",
		"auth_webhook_url = http://u:s3cret@a.example/#x",
		"webhook_basic_authn_pasword = s3cret",
	} {
		_, warnings, err := Parse("f", []byte(text))
		said := ""
		if err != nil {
			said = err.Error()
		}
		for _, w := range warnings {
			said += w.String()
		}
		if said == "" || strings.Contains(said, "s3cret") {
			t.Errorf("%q: %q", text, said)
		}
	}
}
