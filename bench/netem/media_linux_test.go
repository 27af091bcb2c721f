//go:build browser

package netem

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

const (
	filmWidth, filmHeight, filmRate = 640, 360, 30
	filmSeconds                     = 2
	soundRate, soundSeconds         = 48_000, 12
)

// writeFilm makes a film (YUV4MPEG2) that no encoder gets below the rate that it may use: a
// pattern that moves, with noise.
func writeFilm(t *testing.T) string {
	t.Helper()
	return writeFile(t, "film.y4m", func(w *bufio.Writer) {
		fmt.Fprintf(w, "YUV4MPEG2 W%d H%d F%d:1 Ip A1:1 C420jpeg\n", filmWidth, filmHeight, filmRate)
		random := rand.New(rand.NewPCG(1, 2))
		luma, chroma := make([]byte, filmWidth*filmHeight), make([]byte, filmWidth*filmHeight/4)
		for n := range filmRate * filmSeconds {
			fmt.Fprintln(w, "FRAME")
			shift := 2 * math.Pi * float64(n) / (filmRate * filmSeconds)
			for i := range luma {
				x, y := float64(i%filmWidth), float64(i/filmWidth)
				luma[i] = byte(128 + 50*math.Sin(x/23+2*shift) + 40*math.Cos(y/17-shift) + float64(random.Uint32()%24))
			}
			for i := range chroma {
				chroma[i] = byte(128 + 30*math.Sin(float64(i)/900+shift))
			}
			w.Write(luma) // a bufio.Writer keeps its first error for Flush
			w.Write(chroma)
			w.Write(chroma)
		}
	})
}

// writeSound makes a sound (WAV) of syllables and pauses, in which what is missing is heard: two
// tones of a voice's pitch and its formant, which rise and fall four times a second.
func writeSound(t *testing.T) string {
	t.Helper()
	return writeFile(t, "sound.wav", func(w *bufio.Writer) {
		const samples = soundRate * soundSeconds
		w.WriteString("RIFF")
		binary.Write(w, binary.LittleEndian, uint32(36+2*samples))
		w.WriteString("WAVEfmt ")
		binary.Write(w, binary.LittleEndian, struct {
			Size             uint32
			Format, Channels uint16
			Rate, Bytes      uint32
			Align, Bits      uint16
		}{16, 1, 1, soundRate, 2 * soundRate, 2, 16})
		w.WriteString("data")
		binary.Write(w, binary.LittleEndian, uint32(2*samples))
		for i := range samples {
			at := float64(i) / soundRate
			pitch := 140 + 30*math.Sin(2*math.Pi*at/3)
			loud := max(0, math.Sin(2*math.Pi*4*at))
			if math.Mod(at, 3) > 2.2 {
				loud = 0.02 // between sentences
			}
			voice := math.Sin(2*math.Pi*pitch*at) + 0.6*math.Sin(2*math.Pi*5*pitch*at) + 0.3*math.Sin(2*math.Pi*13*pitch*at)
			binary.Write(w, binary.LittleEndian, int16(8000*loud*voice))
		}
	})
}

func writeFile(t *testing.T, name string, write func(*bufio.Writer)) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<16)
	write(w)
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return path
}
