#!/usr/bin/env bash
# Makes the clips of package source anew with ffmpeg (libvpx, libaom, libx264, libopus): four
# seconds of ffmpeg's moving test picture, each with a key frame at its start and one in its
# middle, encoded as for a call (no lookahead, no B frames), and of a chord. Which bytes come
# out depends on the encoders' versions, so that the clips are kept in the repository.
set -euo pipefail
cd "$(dirname "$0")/clips"
seconds=4

# video <size> <frames a second> <bitrate in kbit/s>
video() {
  local size=$1 fps=$2 rate=${3}k kbps=$3 height=${1#*x}
  local middle=$((fps * seconds / 2))
  local input=(-v error -y -f lavfi -i "testsrc2=size=$size:rate=$fps:duration=$seconds,format=yuv420p"
    -map_metadata -1 -fflags +bitexact -flags:v +bitexact
    -threads 1 -g "$middle" -keyint_min "$middle" -b:v "$rate" -maxrate "$rate" -bufsize "$rate")
  local vpx=(-deadline realtime -lag-in-frames 0 -auto-alt-ref 0 -static-thresh 0)
  ffmpeg "${input[@]}" -c:v libvpx "${vpx[@]}" -cpu-used 4 -f ivf "vp8-${height}p${fps}-${kbps}k.ivf"
  ffmpeg "${input[@]}" -c:v libvpx-vp9 "${vpx[@]}" -cpu-used 6 -f ivf "vp9-${height}p${fps}-${kbps}k.ivf"
  ffmpeg "${input[@]}" -c:v libaom-av1 -usage realtime -lag-in-frames 0 -cpu-used 8 -f ivf "av1-${height}p${fps}-${kbps}k.ivf"
  # Access units begin with delimiters, by which the reader finds them; it drops them.
  ffmpeg "${input[@]}" -c:v libx264 -profile:v baseline -preset veryfast -tune zerolatency \
    -x264-params "aud=1:scenecut=0:sliced-threads=0:repeat-headers=1" -f h264 "h264-${height}p${fps}-${kbps}k.h264"
}

video 320x240 20 150
video 640x360 25 400
ffmpeg -v error -y -f lavfi -i "aevalsrc=0.2*(sin(2*PI*220*t)+sin(2*PI*277*t)+sin(2*PI*330*t)):s=48000:d=$seconds" \
  -map_metadata -1 -fflags +bitexact -flags:a +bitexact \
  -c:a libopus -b:a 32k -application audio -frame_duration 20 -f ogg opus-32k.ogg
ls -l
