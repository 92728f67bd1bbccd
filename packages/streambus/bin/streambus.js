#!/usr/bin/env node
// CommonJS on purpose: Node loads ES modules through its thread pool, whose size is fixed when it is first
// used, so that the size has to be set before the first import.
process.env.UV_THREADPOOL_SIZE ??= '8'
// Keeps compiled code between starts where Node can do it (22.1 and later).
require('node:module').enableCompileCache?.()
import('../dist/cli.js')
