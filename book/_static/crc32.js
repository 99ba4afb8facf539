/* CRC-32, as Python's zlib has it: whether what arrived is what was sent. Browsers offer SHA-256 on encrypted pages alone. */

/* What eight bits leave behind. */
const LEFT = Int32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = (byte >>> 1) ^ (byte & 1 ? 0xedb88320 : 0);
  return byte;
});

export function crc32(bytes) {
  let remainder = -1;
  for (let i = 0; i < bytes.length; i++) remainder = (remainder >>> 8) ^ LEFT[(remainder ^ bytes[i]) & 255];
  return ~remainder >>> 0;
}
