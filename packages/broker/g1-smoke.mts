import { Broker } from '@streambus/broker'
const broker = await Broker.start({ port: 19192, groups: { minSessionTimeoutMs: 100 }, log: console as any })
console.log(broker.address)
setTimeout(() => broker.close(), 60000)
