/* CRC-32, as Python's zlib has it: whether what arrived is what was sent. Browsers offer SHA-256 on encrypted pages alone. */

export function crc32(bytes) {
  let remainder = -1;
  for (const byte of bytes) {
    remainder ^= byte;
    for (let bit = 0; bit < 8; bit++) remainder = (remainder >>> 1) ^ (remainder & 1 ? 0xedb88320 : 0);
  }
  return ~remainder >>> 0;
}
