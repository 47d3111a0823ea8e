/**
 * Seeded random numbers (sfc32).
 *
 * Invariant G1 (whole generator): the same options give the same bytes on every platform. The generator therefore uses
 * only exactly specified operations: + − × ÷, sqrt, fround, floor and 32-bit integers; never exp, log, sin, cos or pow,
 * whose last bits differ between JavaScript engines.
 */
export class Random {
  private a: number;
  private b: number;
  private c: number;
  private counter = 1;

  /** `seed` is any safe integer. Different `stream`s of one seed are independent. */
  constructor(seed: number, stream: number) {
    this.a = seed | 0;
    this.b = Math.floor(seed / 0x1_0000_0000) | 0;
    this.c = stream | 0;
    // sfc32 needs a few rounds before similar seeds look unrelated.
    for (let i = 0; i < 16; i++) this.next();
  }

  /** Uniform in [0, 1), a multiple of 2⁻³². */
  next(): number {
    const sum = (((this.a + this.b) | 0) + this.counter) | 0;
    this.counter = (this.counter + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = (((this.c << 21) | (this.c >>> 11)) + sum) | 0;
    return (sum >>> 0) / 0x1_0000_0000;
  }

  /** A whole number in [0, bound). */
  below(bound: number): number {
    return Math.floor(this.next() * bound);
  }

  /** Approximately normal: mean 0, variance 1, within ±3 (a sum of three uniforms). */
  normal(): number {
    return (this.next() + this.next() + this.next() - 1.5) * 2;
  }

  /** A factor, approximately log-normal with median 1; `sigma` at most 0.4. */
  factor(sigma: number): number {
    const x = sigma * this.normal();
    // Padé approximant of e^x: exact operations only, and within 0.3 % for |x| ≤ 1.2.
    const even = 1 + (x * x) / 12;
    return (even + x / 2) / (even - x / 2);
  }
}
