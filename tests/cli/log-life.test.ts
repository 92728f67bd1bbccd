import { beforeAll, expect, test } from 'vitest'
import { cli, ensureBuilt, startBroker, temporaryFolder } from './built-cli.ts'

beforeAll(ensureBuilt, 120_000)

test('topic describe shows how a log ages, and status what the broker did with it', async () => {
  await using folder = await temporaryFolder()
  const intervals = ['--set', 'log.retention.check.interval.ms=20', '--set', 'log.cleaner.backoff.ms=20']
  const broker = await startBroker(['--data', folder.path, ...intervals])
  const run = async (args: readonly string[], input?: string) => {
    const result = await cli(args, { env: broker.env, ...(input === undefined ? {} : { input }) })
    expect(result).toMatchObject({ code: 0, stderr: expect.not.stringContaining('warning') })
    return result.stdout
  }
  const compacted = ['cleanup.policy=compact', 'min.cleanable.dirty.ratio=0.01', 'segment.ms=1']
  await run(['topic', 'create', 'table', ...compacted.flatMap((one) => ['--set', one])])
  await run(['topic', 'create', 'events', '--set', 'retention.bytes=1000'])
  for (let round = 0; round < 3; round++) {
    await run(['produce', 'table', '-K', ':'], 'a:1\nb:2\na:3\n')
    await run(['produce', 'events'], `${'x'.repeat(600)}\n`)
  }
  const described = async (topic: string) => JSON.parse(await run(['topic', 'describe', topic, '--json']))
  await expect
    .poll(async () => (await described('table')).storage[0].log.compaction, { timeout: 20_000 })
    .toMatchObject({ waitsFor: 'records', lastPassAtMs: expect.any(Number) })
  await expect
    .poll(async () => (await described('events')).partitions[0].earliest, { timeout: 20_000 })
    .toBe(1)
  const time = String.raw`\d{4}-\d\d-\d\dT[\d:.]+Z`
  expect(await run(['topic', 'describe', 'table'])).toMatch(
    new RegExp(
      `^Partition +Oldest record +Files +Segments +In files +Not compacted +Last pass +Next pass waits for\n +0 +${time} +\\d +\\d +\\d+ B +\\d+ B +${time} +new records$`,
      'm',
    ),
  )
  expect(await run(['topic', 'describe', 'events'])).toMatch(
    new RegExp(
      `^Partition +Oldest record +Goes +Past retention +Files +Segments +In files\n +0 +${time} +${time} +0 +\\d +\\d +[\\d.]+ \\w+$`,
      'm',
    ),
  )
  const status = JSON.parse(await run(['status', '--json']))
  expect(status.maintenance).toMatchObject([
    { broker: 1, path: folder.path, compaction: { passes: expect.any(Number) }, failures: 0 },
  ])
  expect(status.maintenance[0].retention.freedBytes).toBeGreaterThan(600)
  expect(await run(['status'])).toMatch(
    /Background work of broker 1 on .+ since .+:\n {2}Files: +\d+ log files?, \d+ segments?, .* of records\n {2}Retention: +[\d,]+ checks?, \d+ B freed\n {2}Compaction: +\d+ pass(es)?, .* written\n {2}Merging: .*\n {2}To do: +\S.*\n {2}Failures: +0\n/,
  )
  await broker.stop()
})
