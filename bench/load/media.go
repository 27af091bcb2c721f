package load

import (
	"fmt"

	"tsubame/bench/source"
	"tsubame/media/param"
)

// open opens what a publisher sends of a kind. Seed tells publishers apart.
func open(sc *Scenario, kind param.Kind, seed uint64) (source.Source, error) {
	seed++ // 0 begins every trace at its start
	switch {
	case sc.PayloadSize > 0 && kind == param.Audio && !sc.Video:
		return source.FixedRuns(param.Opus, sc.PayloadSize, sc.PacketRate, 1)
	case sc.PayloadSize > 0 && kind == param.Video:
		run := 1
		if sc.FrameRate > 0 {
			run = max(1, sc.PacketRate/sc.FrameRate)
		}
		return source.FixedRuns(sc.Codec, sc.PayloadSize, sc.PacketRate, run)
	case sc.Clip != "" && kind == param.Video:
		video, err := source.OpenClipAt(sc.Clip, seed)
		if err == nil && video.Codec() != sc.Codec {
			return nil, fmt.Errorf("load: clip %q is of %v, not %v", sc.Clip, video.Codec(), sc.Codec)
		}
		return video, err
	case sc.Trace != "":
		video, audio, err := source.OpenTraceAt(sc.Trace, seed)
		if kind == param.Audio {
			return audio, err
		}
		if err == nil && video.Codec() != sc.Codec {
			return nil, fmt.Errorf("load: trace %q is of %v, not %v", sc.Trace, video.Codec(), sc.Codec)
		}
		return video, err
	case kind == param.Audio:
		return source.Opus(seed)
	}
	return source.Video(sc.Codec, sc.Bitrate, sc.FrameRate, seed)
}
