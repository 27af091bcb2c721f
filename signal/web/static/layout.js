// How large the tiles are: as large as the stage allows. Pure arithmetic.

export const GAP = 12;

const CAPTION = 44; // height of the line under a picture; style.css says the same
const PLOT_ROW = 58; // height of a row of plots
const PLOT_EDGE = 14; // padding and border around them
const LEAST = 150; // a tile is not made narrower: the stage scrolls instead
const LEAST_WITH_PLOTS = 250;
const STRIP = 220; // width of the column beside a pinned tile, at most

// plotColumns is how many plots stand side by side in a tile of that width.
export function plotColumns(width) {
  return width >= 620 ? 6 : width >= 240 ? 3 : 2;
}

// below is the height of what a tile has under its picture.
function below(width, plots) {
  return CAPTION + (plots ? (6 / plotColumns(width)) * PLOT_ROW + PLOT_EDGE : 0);
}

// widest is the width of the largest tile that is at most `height` tall.
function widest(width, height, plots) {
  const fit = Math.min(width, ((height - below(width, plots)) * 16) / 9);
  // Fewer columns of plots are taller: what was found has to fit with its own.
  return Math.min(fit, ((height - below(fit, plots)) * 16) / 9);
}

// grid returns the tile width for `count` tiles of 16:9 on a stage of that size. If
// they do not fit, the stage scrolls and the tiles keep a useful size.
export function grid(count, width, height, plots) {
  const least = Math.min(width, plots ? LEAST_WITH_PLOTS : LEAST);
  let best = 0;
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns);
    const w = widest((width - GAP * (columns - 1)) / columns, (height - GAP * (rows - 1)) / rows, plots);
    if (w > best) best = w;
  }
  if (best >= least) return Math.floor(best);
  const columns = Math.max(1, Math.floor((width + GAP) / (Math.max(least, 240) + GAP)));
  const scrolling = Math.min(count, width < 520 && !plots ? 2 : columns);
  return Math.floor((width - GAP * (scrolling - 1)) / scrolling);
}

// pinned returns { main, strip, beside }: the width of the large tile and of the
// others, which stand beside it if there is room and below it otherwise. Only the
// large one has plots.
export function pinned(count, width, height, plots) {
  const beside = count > 1 && width >= 640 && width > height;
  const strip = beside ? Math.min(STRIP, Math.floor(width / 4.5)) : Math.min(160, Math.floor((width - GAP) / 2));
  const room = beside ? width - strip - GAP : width;
  const tall = beside || count === 1 ? height : height - below(strip, false) - (strip * 9) / 16 - GAP;
  const main = Math.floor(Math.max(Math.min(room, 320), widest(room, tall, plots)));
  return { main, strip, beside };
}
