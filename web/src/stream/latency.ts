/** Exchange → pixel of this tab, hop by hop, from the ages of frames and our own acknowledgements. */

import { Samples } from "./quantiles";

export class Latency {
  /** Exchange's event → frame sent. */
  readonly to_server = new Samples();
  /** Frame sent → received here (with the clock's offset taken out). */
  readonly to_page = new Samples();
  /** Received → on the screen. */
  readonly to_screen = new Samples();
  readonly total = new Samples();
  private ages: { frame: number; age_ms: number }[] = [];

  /** The newest thing of a subscription was `age_ms` old when the frame was sent. */
  sent(frame: number, age_ms: number): void {
    this.ages.push({ frame, age_ms });
    if (this.ages.length > 1000) this.ages.shift(); // a hidden tab paints nothing
  }

  painted(frame: number, to_page_ms: number, to_screen_ms: number): void {
    this.to_page.add(to_page_ms);
    this.to_screen.add(to_screen_ms);
    for (const each of this.ages) {
      if (each.frame === frame) {
        this.to_server.add(each.age_ms);
        this.total.add(each.age_ms + to_page_ms + to_screen_ms);
      }
    }
    this.ages = this.ages.filter((each) => each.frame !== frame);
  }
}
