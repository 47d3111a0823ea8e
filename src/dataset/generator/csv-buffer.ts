const CHUNK_BYTES = 64 * 1024;
/** Room for the row that crosses the end of a chunk. */
const ROW_BYTES = 4 * 1024;
const ZERO = 48;
const DOT = 46;
const MINUS = 45;
const DAY_SECONDS = 86_400;
const FIVE_TO_15 = 30_517_578_125;
/** Amounts up to this many cents are printed from a table. */
const KNOWN_CENTS = 20_000;

/** The text of a double as C's `%.17g` prints it, which is how TLC files up to 2014 were written. */
export function digits17(value: number): string {
  if (value === 0) return '0';
  return value.toPrecision(17).replace(/\.?0+$/, '');
}

/** Writes CSV as bytes, ASCII only: numbers and times digit by digit, without a string for each. */
export class CsvBuffer {
  length = 0;
  private readonly bytes = Buffer.allocUnsafe(CHUNK_BYTES + ROW_BYTES);
  private readonly amounts: (string | undefined)[] = new Array(KNOWN_CENTS).fill(undefined);
  private readonly date = new Uint8Array(10);
  private dateDay = Number.NaN;

  get full(): boolean {
    return this.length >= CHUNK_BYTES;
  }

  /** The text written since the last `take`. */
  take(): string {
    const text = this.bytes.toString('latin1', 0, this.length);
    this.length = 0;
    return text;
  }

  byte(code: number): void {
    this.bytes[this.length++] = code;
  }

  text(text: string): void {
    for (let i = 0; i < text.length; i++) this.bytes[this.length++] = text.charCodeAt(i);
  }

  /** A whole number of at most nine digits. */
  integer(value: number): void {
    let rest = value;
    if (rest < 0) {
      this.byte(MINUS);
      rest = -rest;
    }
    let digits = 1;
    for (let power = 10; power <= rest; power *= 10) digits++;
    this.padded(rest, digits);
  }

  /** Cents as a dollar amount in its shortest form: `17.05`, `0.3`, `12`, `-4.5`. */
  amount(cents: number): void {
    const positive = cents < 0 ? -cents : cents;
    if (cents < 0) this.byte(MINUS);
    const whole = Math.floor(positive / 100);
    this.integer(whole);
    const rest = positive - 100 * whole;
    if (rest === 0) return;
    this.byte(DOT);
    if (rest % 10 === 0) this.byte(ZERO + rest / 10);
    else this.padded(rest, 2);
  }

  /** Cents as `%.17g` prints the dollar amount: `2.6299999999999999`. */
  amount17(cents: number): void {
    const positive = cents < 0 ? -cents : cents;
    if (cents < 0) this.byte(MINUS);
    this.text(positive < KNOWN_CENTS ? this.knownAmount(positive) : digits17(positive / 100));
  }

  /** Hundredths with two decimals and no leading zero: `1.20`, `.88`. */
  hundredths(value: number): void {
    const whole = Math.floor(value / 100);
    if (whole > 0) this.integer(whole);
    this.byte(DOT);
    this.padded(value - 100 * whole, 2);
  }

  /** Seconds since 1970 as `2015-01-31 23:59:59`. */
  time(seconds: number): void {
    const day = Math.floor(seconds / DAY_SECONDS);
    if (day !== this.dateDay) this.setDate(day);
    for (let i = 0; i < 10; i++) this.bytes[this.length++] = this.date[i]!;
    const rest = seconds - day * DAY_SECONDS;
    const hour = (rest / 3600) | 0;
    const minute = ((rest - 3600 * hour) / 60) | 0;
    this.byte(32);
    this.padded(hour, 2);
    this.byte(58);
    this.padded(minute, 2);
    this.byte(58);
    this.padded(rest - 3600 * hour - 60 * minute, 2);
  }

  /** A double as `%.17g` prints it. */
  real(value: number): void {
    if (value === 0) {
      this.byte(ZERO);
      return;
    }
    this.text(value.toPrecision(17));
    this.dropTrailingZeros();
  }

  /** A float32 as `%.17g` prints its double: `-73.993896484375`. */
  float32(value: number): void {
    const positive = value < 0 ? -value : value;
    if (positive < 32 || positive >= 100) {
      this.real(value);
      return;
    }
    if (value < 0) this.byte(MINUS);
    const whole = positive | 0;
    this.padded(whole, 2);
    this.byte(DOT);
    // The fraction is k / 2^18, so its 15 decimals are k · 5^15 / 8: a product below 2^53, hence exact.
    const decimals = Math.floor(((positive - whole) * 0x40000 * FIVE_TO_15) / 8 + 0.5);
    const high = Math.floor(decimals / 1e8);
    this.padded(high, 7);
    this.padded(decimals - high * 1e8, 8);
    this.dropTrailingZeros();
  }

  private knownAmount(cents: number): string {
    let text = this.amounts[cents];
    if (text === undefined) {
      text = digits17(cents / 100);
      this.amounts[cents] = text;
    }
    return text;
  }

  private padded(value: number, digits: number): void {
    let rest = value | 0;
    for (let at = this.length + digits - 1; at >= this.length; at--) {
      const tens = (rest / 10) | 0;
      this.bytes[at] = ZERO + rest - 10 * tens;
      rest = tens;
    }
    this.length += digits;
  }

  private dropTrailingZeros(): void {
    while (this.bytes[this.length - 1] === ZERO) this.length--;
    if (this.bytes[this.length - 1] === DOT) this.length--;
  }

  private setDate(day: number): void {
    const text = new Date(day * DAY_SECONDS * 1000).toISOString();
    for (let i = 0; i < 10; i++) this.date[i] = text.charCodeAt(i);
    this.dateDay = day;
  }
}
