/**
 * Page-aligned memory, which direct I/O needs: WebAssembly memory is the one kind Node makes that way. Its
 * pages cost nothing until they are touched.
 */
const WASM_PAGE_BYTES = 65_536

// Node's type declarations leave out the constructor, which only the DOM's have.
const { Memory } = (
  globalThis as unknown as {
    WebAssembly: { Memory: new (size: { initial: number; maximum: number }) => { buffer: ArrayBuffer } }
  }
).WebAssembly

/** `byteLength` zeroed bytes that start at a page. */
export function alignedMemory(byteLength: number): Uint8Array {
  const pages = Math.ceil(byteLength / WASM_PAGE_BYTES)
  return new Uint8Array(new Memory({ initial: pages, maximum: pages }).buffer, 0, byteLength)
}
