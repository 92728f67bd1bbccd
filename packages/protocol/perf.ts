import * as p from '@streambus/protocol'
const records = p.encodeRecordBatch([{ value: 'x'.repeat(1000) }])
const frameOf = (parts: p.Part[]) => Buffer.concat(parts as Uint8Array[]).subarray(4)
const reqFrame = frameOf(p.encodeRequest(p.produce, 9, { correlationId: 7, clientId: 'perf-client-1' }, { acks: -1, timeoutMs: 1000, topicData: [{ name: 'orders-topic', partitionData: [{ index: 3, records }] }] }))
const resp = { responses: [{ name: 'orders-topic', partitionResponses: [{ index: 3, errorCode: 0, baseOffset: 123456789n, logStartOffset: 0n }] }] }
const fetchReq = frameOf(p.encodeRequest(p.fetch, 12, { correlationId: 7, clientId: 'perf-client-1' }, { maxWaitMs: 500, minBytes: 1, topics: [{ topic: 'orders-topic', partitions: [{ partition: 3, fetchOffset: 123456n, partitionMaxBytes: 1048576 }] }], forgottenTopicsData: [] }))
const fetchResp = { responses: [{ topic: 'orders-topic', partitions: [{ partitionIndex: 3, errorCode: 0, highWatermark: 1000n, lastStableOffset: 1000n, logStartOffset: 0n, abortedTransactions: null, records: { byteLength: 1000000 } }] }] }
const prodRespFrame = frameOf(p.encodeResponse(p.produce, 9, 7, resp))
const big = p.encodeRecordBatch(Array.from({length:1000},(_, i)=>({key:`key-${i}`, value:'v'.repeat(100), timestamp: 1700000000000+i})))
const cases: Record<string, () => unknown> = {
  'decode header+produce v9': () => { const { header, bodyOffset } = p.decodeRequestHeader(reqFrame); return p.decodeRequest(p.produce, header.apiVersion, reqFrame, bodyOffset) },
  'encode produce v9 response': () => p.encodeResponse(p.produce, 9, 7, resp),
  'encode produce v9 request': () => p.encodeRequest(p.produce, 9, { correlationId: 7, clientId: 'perf-client-1' }, { acks: -1, timeoutMs: 1000, topicData: [{ name: 'orders-topic', partitionData: [{ index: 3, records }] }] }),
  'decode produce v9 response': () => p.decodeResponse(p.produce, 9, prodRespFrame),
  'decode header+fetch v12': () => { const { header, bodyOffset } = p.decodeRequestHeader(fetchReq); return p.decodeRequest(p.fetch, header.apiVersion, fetchReq, bodyOffset) },
  'encode fetch v12 response': () => p.encodeResponse(p.fetch, 12, 7, fetchResp),
  'checkRecords 1000x100B': () => p.checkRecords(big, 0, big.length),
  'decodeRecords 1000x100B value only': () => { let n = 0; for (const r of p.decodeRecords(big)) n += r.value!.length; return n },
  'decodeRecords all fields': () => { let n = 0; for (const r of p.decodeRecords(big)) n += r.value!.length + r.key!.length + Number(r.offset) + Number(r.timestamp) + r.headers.length; return n },
  'encodeRecordBatch 1000x100B': () => p.encodeRecordBatch(Array.from({length:1000},(_, i)=>({key:`key-${i}`, value:'v'.repeat(100), timestamp: 1700000000000+i}))),
}
for (let round = 0; round < 12; round++) for (const [name, run] of Object.entries(cases)) { if (!name.includes('header+produce')) continue
  const n = name.includes('1000x') || name.includes('all') ? 1000 : 200_000
  for (let i = 0; i < n / 4; i++) run()
  const t = process.hrtime.bigint(); for (let i = 0; i < n; i++) run()
  if (round) console.log(name.padEnd(40), (Number(process.hrtime.bigint() - t) / n / 1000).toFixed(2), 'µs')
}
