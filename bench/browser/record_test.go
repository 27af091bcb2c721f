//go:build browser

package browser

import (
	"compress/gzip"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"tsubame/bench/traces"
	"tsubame/bench/traces/record"
)

// The traces of bench/traces that are of a kind of their own are made by
//
//	go test -tags browser ./bench/browser -run Recorder -record DIR
//
// as root on an idle machine, or one of them with -run Recorder/VP8-screen. Their rates are
// what a machine's encoders reach.
var recordDir = flag.String("record", "", "folder into which packet-time traces are recorded, ten seconds each; empty: a short one, to see that it works")

// recording is one trace to be made.
type recording struct {
	name  string
	codec string
	kbps  int
	wish  wish
}

func recordings() (all []recording) {
	for _, codec := range []string{"VP8", "VP9", "H264"} {
		for _, kbps := range []int{2500, 5000} {
			all = append(all, recording{"noise", codec, kbps, wish{Noise: true, FPS: 30, Width: 640, Height: 360}})
		}
	}
	for _, codec := range []string{"VP8", "VP9"} {
		all = append(all, recording{"screen", codec, 2500, wish{Screen: true, FPS: 30}})
	}
	return all
}

func TestRecorderSeesHowChromiumSends(t *testing.T) {
	b := ownChromium(t)
	if *recordDir == "" {
		r := recording{"noise", "VP8", 600, wish{Noise: true, FPS: 20, Width: 320, Height: 180}}
		tr := newScene(t).client(b, "publisher", 1).record(r, 2*time.Second)
		if s := record.Summarise(tr); s.Frames < 10 || s.Packets < s.Frames || len(tr.Audio) < 60 || s.Spread > 2 {
			t.Errorf("%d packets of audio, %+v", len(tr.Audio), s)
		}
		return
	}
	for _, r := range recordings() {
		t.Run(fmt.Sprintf("%s-%s-%d", r.codec, r.name, r.kbps), func(t *testing.T) {
			tr := newScene(t).client(b, "publisher", 1).record(r, 10*time.Second)
			s := record.Summarise(tr)
			name := fmt.Sprintf("%s-%s-%.2gmbps", strings.ToLower(r.codec), r.name, s.Bitrate/1e6)
			t.Log("\n" + record.Head + s.Row(name))
			writeTrace(t, filepath.Join(*recordDir, name+".csv.gz"), tr)
		})
	}
}

// record joins, waits until the sender has found its rate and watches what it sends.
func (c *client) record(r recording, d time.Duration) *traces.Trace {
	c.t.Helper()
	capture, err := record.Open(uint16(c.scene.server.UDPPort()))
	if err != nil {
		c.t.Fatal(err)
	}
	defer capture.Close()
	c.joinWith("sendonly", options{"videoCodecType": r.codec, "videoBitRate": r.kbps}, r.wish)
	eventually(c.t, arriveTimeout, fmt.Sprintf("the encoder's target reaches most of %d kbps", r.kbps), func() (bool, any) {
		v := c.figures().Sent.Video
		return v != nil && v.Target >= 0.9*float64(r.kbps)*1000, v
	})
	if _, err := capture.Run(d / 5); err != nil { // the encoder follows its target
		c.t.Fatal(err)
	}
	packets, err := capture.Run(d)
	if err != nil {
		c.t.Fatal(err)
	}
	video, audio, tag := c.payloadType(r.codec), c.payloadType("opus"), c.srtpTag()
	headers := make(map[string]int)
	for _, p := range packets {
		headers[fmt.Sprintf("type %d, %d bytes of header", p.PayloadType, p.Header)]++
	}
	c.t.Logf("%s: tag of %d bytes, %v", r.codec, tag, headers)
	c.leave()
	return record.Trace(packets, video, audio, tag)
}

// payloadType is under which a codec is sent.
func (c *client) payloadType(codec string) uint8 {
	c.t.Helper()
	m := regexp.MustCompile(`(?mi)^a=rtpmap:(\d+) ` + codec + `/`).FindStringSubmatch(eval[string](c.tab, "rig.answered()"))
	if m == nil {
		c.t.Fatalf("%s is not in the answer", codec)
	}
	n, err := strconv.ParseUint(m[1], 10, 7)
	if err != nil {
		c.t.Fatal(err)
	}
	return uint8(n)
}

// srtpTag is how many bytes the negotiated profile adds to a packet (RFC 5764 section 4.1.2,
// RFC 7714 section 14.2).
func (c *client) srtpTag() int {
	c.t.Helper()
	switch cipher := eval[string](c.tab, `rig.cipher()`); cipher {
	case "AES_CM_128_HMAC_SHA1_80", "SRTP_AES128_CM_SHA1_80":
		return 10
	case "AEAD_AES_128_GCM", "AEAD_AES_256_GCM", "SRTP_AEAD_AES_128_GCM", "SRTP_AEAD_AES_256_GCM":
		return 16
	default:
		c.t.Fatalf("SRTP by %q", cipher)
		return 0
	}
}

func writeTrace(t *testing.T, file string, tr *traces.Trace) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewWriterLevel(f, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{traces.Write(z, tr), z.Close(), f.Close()} {
		if err != nil {
			t.Fatal(err)
		}
	}
}
