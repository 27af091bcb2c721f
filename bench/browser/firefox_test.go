//go:build browser

package browser

import "testing"

func TestFirefoxSendrecvWithChromium(t *testing.T) {
	s := newScene(t)
	fox, chrome := s.client(theFirefox(t), "firefox", 1), s.client(sharedChromium(t), "chromium", 5)
	chrome.join("sendrecv")
	fox.join("sendrecv")
	chrome.requireArrivesFrom(fox)
	fox.requireArrivesFrom(chrome)
}
