import {
  api,
  array,
  bool,
  float64,
  int16,
  int32,
  int64,
  type Message,
  type MessageInput,
  message,
  OWN_TAGS,
  string,
  struct,
} from '../schema.ts'

/**
 * Log folders and the partitions in them (KIP-113). v3 has a top-level error, v4 the size of the volume
 * (KIP-827).
 *
 * StreamBus's own: from v2 on whoever asks for it is told of the background work on a folder, and of how partitions
 * are kept. Times are milliseconds since the Unix epoch, -1 where there is none.
 */
const own = { versions: '2+', ignorable: true } as const
const told = { ...own, nullable: '2+', default: null } as const

export const describeLogDirs = api(35, 'DescribeLogDirs', {
  request: message(
    { versions: '0-4', flexible: '2+' },
    {
      topics: array(
        {
          topic: string(),
          partitions: array(int32()),
        },
        { nullable: '0+' },
      ),
      withMaintenance: bool({ ...own, tag: OWN_TAGS }),
      withStorage: bool({ ...own, tag: OWN_TAGS + 1 }),
    },
  ),
  response: message(
    { versions: '0-4', flexible: '2+' },
    {
      throttleTimeMs: int32(),
      errorCode: int16({ versions: '3+', ignorable: true }),
      results: array({
        errorCode: int16(),
        logDir: string(),
        topics: array({
          name: string(),
          partitions: array({
            partitionIndex: int32(),
            partitionSize: int64(),
            offsetLag: int64(),
            isFutureKey: bool(),
            storage: struct(
              {
                files: int32(),
                segments: int32(),
                heldBytes: int64(),
                /** Where the log will begin after the next check of retention; -1 where none applies. */
                expiredTo: int64(),
                compaction: struct(
                  {
                    dirtyBytes: int64(),
                    dirtyRatio: float64(),
                    lastPassAtMs: int64(),
                    waitsFor: string(),
                  },
                  { nullable: '2+' },
                ),
              },
              { ...told, tag: OWN_TAGS },
            ),
          }),
        }),
        totalBytes: int64({ versions: '4+', default: -1n, ignorable: true }),
        usableBytes: int64({ versions: '4+', default: -1n, ignorable: true }),
        maintenance: struct(
          {
            sinceMs: int64(),
            logFiles: int32(),
            segments: int32(),
            fileBytes: int64(),
            liveBytes: int64(),
            retentionChecks: int64(),
            retentionFreedBytes: int64(),
            compactionPasses: int64(),
            compactionWrittenBytes: int64(),
            mergingPasses: int64(),
            mergingWrittenBytes: int64(),
            logsToCompact: int32(),
            bytesToCompact: int64(),
            filesToMerge: int32(),
            bytesToMerge: int64(),
            failures: int64(),
            lastFailureAtMs: int64(),
            lastFailure: string(),
          },
          { ...told, tag: OWN_TAGS },
        ),
      }),
    },
  ),
})

export type DescribeLogDirsRequest = Message<typeof describeLogDirs.request>
export type DescribeLogDirsResponse = Message<typeof describeLogDirs.response>
export type DescribeLogDirsRequestInput = MessageInput<typeof describeLogDirs.request>
export type DescribeLogDirsResponseInput = MessageInput<typeof describeLogDirs.response>
