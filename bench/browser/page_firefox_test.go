//go:build browser

package browser

import (
	"fmt"
	"testing"
)

// Firefox names what its statistics are about in other ways than Chromium.
func TestPageShowsFiguresInFirefox(t *testing.T) {
	besideChurn(t, inFirefox)
	s := startServer(t)
	other := openPage(t, s, "chromium", little+"&pattern=5&client_id=Hanako")
	fox := theFirefox(t).open(t, "firefox", pageURL(t, s, little+"&pattern=1"))
	fox.requireState("live")
	fox.run(`document.querySelector("#stats").click()`)
	for _, id := range []string{"own", other.connectionID()} {
		for _, metric := range []string{"kbps", "fps", "height", "loss", "jitter", "rtt"} {
			fox.requireTrue(metric+" of "+id, fmt.Sprintf(`/^\d+(\.\d)?$/.test(document.querySelector('[data-connection="%s"] [data-metric="%s"] .value').textContent)`, id, metric))
		}
		fox.requireTrue("the codec of "+id, fmt.Sprintf(`document.querySelector('[data-connection="%s"] .codec').textContent === "VP8"`, id))
	}
	fox.requireTrue("who sounds is marked", fmt.Sprintf(`document.querySelector('[data-connection="%s"]').classList.contains("speaking")`, other.connectionID()))
	fox.run(`document.querySelector("#leave").click()`)
	fox.requireState("idle")
}
