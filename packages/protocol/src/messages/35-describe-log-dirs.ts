import {
  api,
  array,
  bool,
  int16,
  int32,
  int64,
  type Message,
  type MessageInput,
  message,
  string,
} from '../schema.ts'

/**
 * Log folders and the partitions in them (KIP-113). v3 has a top-level error, v4 the size of the volume
 * (KIP-827).
 */
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
          }),
        }),
        totalBytes: int64({ versions: '4+', default: -1n, ignorable: true }),
        usableBytes: int64({ versions: '4+', default: -1n, ignorable: true }),
      }),
    },
  ),
})

export type DescribeLogDirsRequest = Message<typeof describeLogDirs.request>
export type DescribeLogDirsResponse = Message<typeof describeLogDirs.response>
export type DescribeLogDirsRequestInput = MessageInput<typeof describeLogDirs.request>
export type DescribeLogDirsResponseInput = MessageInput<typeof describeLogDirs.response>
