export * from './apis.ts'
export {
  BATCH_HEADER_BYTES,
  BATCH_LENGTH_OVERHEAD,
  BATCH_MAGIC,
  type BatchPosition,
  batchCrc,
  batchesIn,
  batchHeader,
  setBaseOffset,
  setLogAppendTime,
  setPartitionLeaderEpoch,
} from './batch-header.ts'
export * from './codec.ts'
export {
  type Codec,
  type CompressionName,
  compressionIds,
  compressionNames,
  loadCodec,
} from './compression/codec.ts'
export * from './control-record.ts'
export { crc32c } from './crc32c.ts'
export { ErrorCode, type ErrorName, errorByCode, errors, type KafkaError } from './errors.ts'
export { ZERO_UUID } from './field-default.ts'
export { FrameDecoder, type FrameMemory } from './frame-decoder.ts'
export * from './messages/00-produce.ts'
export * from './messages/01-fetch.ts'
export * from './messages/02-list-offsets.ts'
export * from './messages/03-metadata.ts'
export * from './messages/18-api-versions.ts'
export * from './messages/19-create-topics.ts'
export * from './messages/20-delete-topics.ts'
export * from './messages/22-init-producer-id.ts'
export * from './messages/23-offset-for-leader-epoch.ts'
export * from './messages/32-describe-configs.ts'
export * from './messages/33-alter-configs.ts'
export * from './messages/35-describe-log-dirs.ts'
export * from './messages/37-create-partitions.ts'
export * from './messages/44-incremental-alter-configs.ts'
export * from './messages/60-describe-cluster.ts'
export { ProtocolError, type ProtocolErrorCode } from './protocol-error.ts'
export {
  type BatchRecords,
  checkRecords,
  decodeRecords,
  encodeRecordBatch,
  type Record,
  type RecordBatchOptions,
  type RecordHeader,
  type RecordInput,
} from './record-batch.ts'
export type { Api, ExternalBytes, Message, MessageInput, MessageSchema } from './schema.ts'
