// Times Broker.start() in a process of its own, from the built package, and prints the figures as JSON.
// The first start pays for code that has never run; the second is what the next test of a suite sees.
// Argument: a folder that does not exist yet.
const importedFrom = performance.now()
const { Broker } = await import('streambus/broker')
const importMs = performance.now() - importedFrom

async function startOnce(dataDir) {
  const startedAt = performance.now()
  const broker = await Broker.start({ dataDir, port: 0 })
  const tookMs = performance.now() - startedAt
  await broker.close()
  return tookMs
}

const folder = process.argv[2]
const startMs = await startOnce(`${folder}/first`)
const secondStartMs = await startOnce(`${folder}/second`)
console.log(JSON.stringify({ startMs, secondStartMs, importMs }))
