/** Cuts a byte stream into the lines of a text protocol (CR LF), one call of `onLine` for each. */
export function lineReader(onLine: (line: string) => void): (chunk: Uint8Array) => void {
  let carry = ''
  return (chunk) => {
    const text = carry + Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength).toString('latin1')
    let position = 0
    for (;;) {
      const end = text.indexOf('\r\n', position)
      if (end === -1) break
      onLine(text.slice(position, end))
      position = end + 2
    }
    carry = text.slice(position)
  }
}
