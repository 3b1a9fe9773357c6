/** How sigma draws what it cannot draw by itself: facts as diamonds, and labels that can be read on any ground. */

import { colour } from "./theme.js";

const DIAMOND = `
precision highp float;
varying vec4 v_color;
varying vec2 v_diffVector;
varying float v_radius;
uniform float u_correctionRatio;
const vec4 transparent = vec4(0.0, 0.0, 0.0, 0.0);
void main(void) {
  float border = u_correctionRatio * 2.0;
  float dist = abs(v_diffVector.x) + abs(v_diffVector.y) - v_radius + border;
  #ifdef PICKING_MODE
  gl_FragColor = dist > border ? transparent : v_color;
  #else
  float t = dist > border ? 1.0 : max(dist, 0.0) / border;
  gl_FragColor = mix(v_color, transparent, t);
  #endif
}`;

/** Return the program of a node that is drawn as a diamond, made of the one that draws circles. */
export const diamondOf = (Circle) =>
  class extends Circle {
    getDefinition() {
      return { ...super.getDefinition(), FRAGMENT_SHADER_SOURCE: DIAMOND };
    }
  };

/** Draw a label beside its node. */
export function drawLabel(context, data, settings) {
  if (!data.label) return;
  context.font = `${settings.labelSize}px ${settings.labelFont}`;
  const x = data.x + data.size + 4;
  const y = data.y + settings.labelSize / 3;
  context.lineWidth = 3;
  context.lineJoin = "round";
  context.strokeStyle = colour("ground");
  context.strokeText(data.label, x, y);
  context.fillStyle = colour("text");
  context.fillText(data.label, x, y);
}

/** Draw what is pointed at or selected: a ring, and its label on a ground of its own. */
export function drawHover(context, data, settings) {
  context.beginPath();
  context.arc(data.x, data.y, data.size + 3, 0, 2 * Math.PI);
  context.lineWidth = 2;
  context.strokeStyle = colour("text");
  context.stroke();
  if (!data.label) return;
  context.font = `${settings.labelSize}px ${settings.labelFont}`;
  const width = context.measureText(data.label).width;
  const x = data.x + data.size + 8;
  context.beginPath();
  context.roundRect(x - 5, data.y - settings.labelSize, width + 10, 2 * settings.labelSize, 4);
  context.fillStyle = colour("surface");
  context.fill();
  context.lineWidth = 1;
  context.strokeStyle = colour("line");
  context.stroke();
  context.fillStyle = colour("text");
  context.fillText(data.label, x, data.y + settings.labelSize / 3);
}
