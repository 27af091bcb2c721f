//go:build browser

package browser

import (
	"fmt"
	"strings"
	"testing"
)

// sentTrack is the id of the track that goes out, "" if there is none.
const sentTrack = `(probe.peers.at(-1).getSenders().map((s) => s.track).find((t) => t?.kind === "%s")?.id ?? "")`

func TestPageChangesTheSourceDuringTheCall(t *testing.T) {
	besideChurn(t)
	s := startServer(t)
	one := openPage(t, s, "one", little+"&pattern=2&role=sendonly")
	two := openPage(t, s, "two", "role=recvonly")
	id := one.connectionID()
	two.requireArrives(id, 2)

	one.click("#source")
	one.choose("live-video", "camera")
	one.requireTrue("the camera is sent", fmt.Sprintf(sentTrack+` === document.querySelector("[data-connection=own] video").srcObject.getVideoTracks()[0].id`, "video"))
	eventually(t, arriveTimeout, "another picture arrives", func() (bool, any) {
		p := two.report().Remote[id].Picture
		return p != nil && !p.Readable, p
	})
	one.choose("live-audio", "microphone")
	one.choose("live-video", "none")
	one.requireTrue("no picture is sent", fmt.Sprintf(sentTrack+` === ""`, "video"))
	one.requireTrue("the tile is empty", `document.querySelector("[data-connection=own]").classList.contains("empty")`)

	// The mute button goes for whatever is sent.
	one.press("v")
	one.choose("live-video", "pattern")
	one.requireTrue("the pattern is hidden", `document.querySelector("[data-connection=own] video").srcObject?.getVideoTracks()[0].enabled === false`)
	one.click("#cam")
	one.choose("live-audio", "tone")
	two.requireArrives(id, 2)
}

func TestPageSharesAScreenUntilItEnds(t *testing.T) {
	besideChurn(t)
	s := startServer(t)
	one := openPage(t, s, "one", little+"&role=sendonly")
	one.run(`navigator.mediaDevices.getDisplayMedia = () => Promise.reject(new DOMException("no", "NotAllowedError"))`)
	one.click("#source")
	one.choose("live-video", "screen")
	one.requireText("#hint", "No screen was shared.")
	one.requireTrue("the pattern is still chosen", `document.querySelector("[name=live-video][value=pattern]").checked`)

	one.run(`navigator.mediaDevices.getDisplayMedia = async () => {
		globalThis.screen0 = document.createElement("canvas").captureStream();
		return screen0;
	}`)
	one.choose("live-video", "screen")
	one.requireTrue("the screen is sent", fmt.Sprintf("globalThis.screen0 && "+sentTrack+` === screen0.getVideoTracks()[0].id`, "video"))
	// Stopped in the browser's own bar.
	one.run(`screen0.getVideoTracks()[0].dispatchEvent(new Event("ended")) && undefined`)
	one.requireText("#hint", "The screen is no longer shared.")
	one.requireTrue("nothing is sent", fmt.Sprintf(sentTrack+` === ""`, "video"))
}

// What the browser says about devices is said in words, with what to do.
func TestPageExplainsWhatIsWrongWithDevices(t *testing.T) {
	besideChurn(t)
	base, _ := recorder(t)
	tb := lobby(t, base+"?source=camera")
	refuse := func(name string) {
		tb.run(fmt.Sprintf(`navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("said so", %q))`, name))
	}
	for name, want := range map[string]string{
		"NotAllowedError":  "The browser was told not to use the camera and the microphone. Allow it in the address bar",
		"NotReadableError": "Another program is using the camera and the microphone. Close that program",
		"TypeError":        "Cannot use the camera and the microphone: said so",
	} {
		refuse(name)
		tb.click("#connect")
		tb.requireText("#alert", want)
		tb.requireState("idle")
	}
	tb.choose("video", "screen")
	tb.choose("audio", "none")
	tb.run(`navigator.mediaDevices.getDisplayMedia = () => Promise.reject(new DOMException("", "InvalidStateError"))`)
	tb.click("#connect")
	tb.requireText("#alert", "only after a click")

	// One click from the trouble to a call that works.
	tb.click("#alert-action")
	tb.requireTrue("the pattern is shown", `document.querySelector("[data-connection=own] video")?.videoWidth > 0`)
	tb.click("#leave")

	tb.run(`Object.defineProperty(navigator, "mediaDevices", { value: undefined })`)
	tb.choose("video", "camera")
	tb.click("#connect")
	tb.requireText("#hint", "on https:// or on this machine only. Sending the test pattern instead")
}

// An encoder that the browser has not got: the call goes on, and the page says what
// the others miss.
func TestPageSaysThatACodecCannotBeSent(t *testing.T) {
	besideChurn(t)
	s := startServer(t)
	tb := lobby(t, strings.Replace(pageURL(t, s, little), "&auto=1", "", 1))
	tb.run(`{ const apply = RTCPeerConnection.prototype.setRemoteDescription;
		RTCPeerConnection.prototype.setRemoteDescription = function (d) {
			return apply.call(this, { type: d.type, sdp: d.sdp.replaceAll("VP8/90000", "NO/90000") });
		}; }`)
	tb.click("#connect")
	tb.requireState("live")
	tb.requireText("#hint", "cannot send the picture in the codec VP8 that was asked for")
}

// A link may come from anybody: what is a person's own goes out after a click only.
func TestPageSendsNoDeviceBecauseOfALinkAlone(t *testing.T) {
	besideChurn(t)
	base, connects := recorder(t)
	tb := lobby(t, base)
	for _, query := range []string{"source=camera", "source=screen", "video=none&audio=microphone", "video=camera&audio=none&role=sendonly"} {
		tb.run("localStorage.clear()")
		tb.do("open "+query, navigate(base+"?auto=1&"+query))
		tb.requireTrue("the form waits for a click", `document.activeElement.id === "connect" && document.body.dataset.state === "idle"`)
		if n := len(connects); n != 0 {
			t.Errorf("%s: the page has connected", query)
		}
	}
	tb.do("open a watcher", navigate(base+"?auto=1&source=camera&role=recvonly"))
	requireConnect(t, connects, `{"channel_id":"lobby","role":"recvonly","audio":true,"video":true}`)
}

// A device that the browser gives only after the person has left is not kept.
func TestPageClosesADeviceThatComesTooLate(t *testing.T) {
	besideChurn(t)
	base, connects := recorder(t)
	tb := lobby(t, base+"?source=test")
	tb.click("#connect")
	requireConnect(t, connects, `{"channel_id":"lobby","role":"sendrecv","audio":true,"video":true}`)
	tb.run(`{ const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
		navigator.mediaDevices.getUserMedia = (c) => new Promise((give) => { globalThis.give = async () => give(globalThis.late = await open(c)); }); }`)
	ended := `(globalThis.late?.getTracks().every((t) => t.readyState === "ended") ?? false)`
	// Another choice meanwhile.
	tb.click("#source")
	tb.choose("live-video", "camera")
	tb.choose("live-video", "none")
	tb.run("give().then(() => undefined)")
	tb.requireTrue("the camera is closed again", ended)
	// Leave meanwhile.
	tb.choose("live-video", "camera")
	tb.click("#leave")
	tb.requireState("idle")
	tb.run("delete globalThis.late; give().then(() => undefined)")
	tb.requireTrue("the camera is closed again", ended)
}

func TestPageTakesTheDeviceThatWasChosen(t *testing.T) {
	besideChurn(t)
	base, connects := recorder(t)
	tb := lobby(t, base+"?audio=microphone&video=none")
	tb.requireTrue("there are microphones to choose from", `document.querySelector("#join select[name=microphone]").checkVisibility()`)
	chosen := eval[string](tb, `document.querySelector("#join select[name=microphone]").options[1].value`)
	tb.pick("microphone", chosen)
	tb.run(`{ const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
		navigator.mediaDevices.getUserMedia = async (c) => (globalThis.opened = await open(c)); }`)
	tb.click("#connect")
	requireConnect(t, connects, `{"channel_id":"lobby","role":"sendrecv","audio":true,"video":true}`)
	now := `globalThis.opened.getAudioTracks()[0].getSettings().deviceId`
	if got := eval[string](tb, now); got != chosen {
		t.Errorf("device %q is open, %q was chosen", got, chosen)
	}
	// Another one during the call.
	tb.click("#source")
	other := eval[string](tb, `document.querySelector("#source-panel select[name=microphone]").options[2].value`)
	tb.run(`{ const field = document.querySelector("#source-panel select[name=microphone]"); field.value = ` + jsString(other) + `;
		field.dispatchEvent(new Event("change", { bubbles: true })); }`)
	tb.requireTrue("the other is open", now+" === "+jsString(other))
	tb.click("#leave")
	tb.requireState("idle")

	// One that is gone since: any other.
	tb.run(`document.querySelector("#join select[name=microphone]").options[1].value = "gone"; document.querySelector("#join select[name=microphone]").value = "gone"; delete globalThis.opened`)
	tb.click("#connect")
	requireConnect(t, connects, `{"channel_id":"lobby","role":"sendrecv","audio":true,"video":true}`)
	if got := eval[string](tb, now); got == "" || got == "gone" {
		t.Errorf("device %q is open", got)
	}
}
