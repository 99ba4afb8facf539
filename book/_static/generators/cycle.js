/* Chapter 6: the same canvas, and CycleGAN. */

import { Lesion } from "./lesion.js";
import { opened } from "./widget.js";

export const start = (figure) => opened(Lesion, figure, "cycle", ["cyclegan_head2d_64_G_ab"]);
