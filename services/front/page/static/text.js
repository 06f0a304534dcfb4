// What the page says, in English and Chinese, and putting it there.
//
// Rules: both tables have the same keys; `{name}` in a text is replaced by a value.

const TEXTS = {
  en: {
    title: 'Forebay — live demo',
    tagline: 'A chat, and the path its messages take: into the pool, through a worker, back from the log.',
    language: '中文',
    languageLabel: 'Switch to Chinese',
    chat: 'Chat',
    path: 'The path, live',
    second: 'Second person',
    secondHint: 'Or open this page in another tab.',
    you: 'Your name',
    say: 'Say something …',
    sayLabel: 'Message',
    send: 'Send',
    connected: 'connected',
    connecting: 'connecting …',
    disconnected: 'disconnected',
    over: 'Connected over {transport}.',
    websocket: 'WebSocket',
    http_stream: 'HTTP stream',
    sse: 'SSE',
    poll: 'long polling',
    here: 'Here',
    hereUnknown: 'not told',
    hereMe: '{name} (you)',
    guest: 'guest {id}',
    joined: '{name} came in',
    left: '{name} left',
    empty: 'Nobody has said anything for ten minutes. Be the first.',
    missed: 'Some messages may be missing here: the connection was away for too long.',
    waiting: 'on its way',
    unknown: 'waits for the worker',
    again: 'the pool is shut, trying again',
    refused: 'not sent: {reason}',
    persecond: '{rate} msg/s',
    burst: 'Burst: {count} messages',
    burstHint: 'As fast as the front takes them, in frames of fifty.',
    kill: 'Kill the worker for {seconds} s',
    killHint: 'kill -9. Messages go on being sent; see where they wait.',
    killing: 'Worker back in {seconds} s',
    sent: 'sent',
    delivered: 'delivered',
    lost: 'lost',
    twice: 'doubled',
    took: '{count} messages in {seconds} s, each once and in order.',
    underway: '{count} on their way',
    front: 'Front',
    pool: 'Pool',
    worker: 'Worker',
    log: 'Log',
    workerAway: 'away',
    workerUnknown: '?',
    frontWaiting: 'waiting: {count}',
    entries: 'entries',
    records: '{rate}/s',
    figurePool: 'in the pool',
    figureWaiting: 'waiting at the front',
    figureIn: 'published a second',
    figureOut: 'delivered a second',
    figureTrip: 'median trip',
    figureTripHigh: '99 of 100 trips within',
    figureSessions: 'connections here',
    figurePublishing: 'publishing',
    open: 'open',
    blocked: 'held back',
    away: 'broker away',
    unreachable: 'front away',
    chartPool: 'in the pool, peak {peak}',
    chartRate: 'through the path, peak {peak}/s',
    chartLabel: 'The last thirty seconds: entries in the pool, and entries a second.',
    pathLabel: 'Front: {waiting} entries wait. Pool: {pool} entries. Worker: {worker}. {rate} entries a second come back through the log.',
    workerLive: 'running',
    foot: 'Any WebSocket joins this chat:',
    footFigures: 'The figures are those of this front alone: its own connections, and its own part of what is in the pool.',
    names: 'Otter,Heron,Kingfisher,Beaver,Trout,Dipper,Sedge,Willow',
  },
  zh: {
    title: 'Forebay 现场演示',
    tagline: '一个聊天室，以及消息走过的路：进入池子，经过工作进程，从日志返回。',
    language: 'English',
    languageLabel: '切换到英文',
    chat: '聊天',
    path: '实时路径',
    second: '第二个人',
    secondHint: '也可以在另一个标签页打开本页。',
    you: '你的名字',
    say: '说点什么……',
    sayLabel: '消息',
    send: '发送',
    connected: '已连接',
    connecting: '正在连接……',
    disconnected: '已断开',
    over: '连接方式：{transport}。',
    websocket: 'WebSocket',
    http_stream: 'HTTP 流',
    sse: 'SSE',
    poll: '长轮询',
    here: '在场',
    hereUnknown: '未提供',
    hereMe: '{name}（你）',
    guest: '访客 {id}',
    joined: '{name} 来了',
    left: '{name} 走了',
    empty: '十分钟内没有人说话。来说第一句吧。',
    missed: '连接中断太久，这里可能缺少一些消息。',
    waiting: '在路上',
    unknown: '等待工作进程',
    again: '池子暂时关闭，正在重试',
    refused: '未发送：{reason}',
    persecond: '{rate} 条/秒',
    burst: '突发：{count} 条消息',
    burstHint: '前端收多快就发多快，每帧五十条。',
    kill: '杀掉工作进程 {seconds} 秒',
    killHint: 'kill -9。消息照发，看它们在哪里等待。',
    killing: '工作进程 {seconds} 秒后回来',
    sent: '已发送',
    delivered: '已送达',
    lost: '丢失',
    twice: '重复',
    took: '{count} 条消息，{seconds} 秒，每条恰好一次，顺序不乱。',
    underway: '{count} 条在路上',
    front: '前端',
    pool: '池子',
    worker: '工作进程',
    log: '日志',
    workerAway: '不在',
    workerUnknown: '?',
    frontWaiting: '等待：{count}',
    entries: '条',
    records: '每秒 {rate}',
    figurePool: '池中条目',
    figureWaiting: '在前端等待',
    figureIn: '每秒发布',
    figureOut: '每秒送达',
    figureTrip: '全程耗时，中位数',
    figureTripHigh: '99% 的全程耗时不超过',
    figureSessions: '本机连接',
    figurePublishing: '发布',
    open: '畅通',
    blocked: '受阻',
    away: '消息代理不在',
    unreachable: '前端不在',
    chartPool: '池中条目，峰值 {peak}',
    chartRate: '走完全程，峰值每秒 {peak}',
    chartLabel: '最近三十秒：池中条目数与每秒条目数。',
    pathLabel: '前端：{waiting} 条等待。池子：{pool} 条。工作进程：{worker}。每秒 {rate} 条经日志返回。',
    workerLive: '运行中',
    foot: '任何 WebSocket 都能加入这个聊天：',
    footFigures: '数字只属于这一个前端：它自己的连接，以及池子里它自己的那一部分。',
    names: '水獭,苍鹭,翠鸟,河狸,鳟鱼,河乌,苔草,垂柳',
  },
}

const KEY = 'forebay.language'
let language = localStorage.getItem(KEY) ?? (navigator.language.startsWith('zh') ? 'zh' : 'en')
const listeners = new Set()

/** A text in the language of the moment. */
export function text(key, values = {}) {
  return TEXTS[language][key].replace(/\{(\w+)\}/g, (_, name) => values[name])
}

/** A number as people write it. */
export function number(value) {
  return Math.round(value).toLocaleString(language)
}

/** Put the texts into what has `data-text`, `data-label` or `data-hint`. */
export function translate(root = document) {
  for (const each of root.querySelectorAll('[data-text]')) each.textContent = text(each.dataset.text)
  for (const each of root.querySelectorAll('[data-label]')) {
    each.setAttribute('aria-label', text(each.dataset.label))
  }
  for (const each of root.querySelectorAll('[data-hint]')) each.placeholder = text(each.dataset.hint)
}

/** Have something done now and whenever the language changes. */
export function onLanguage(show) {
  listeners.add(show)
  show()
}

export function forgetLanguage(show) {
  listeners.delete(show)
}

export function switchLanguage() {
  language = language === 'en' ? 'zh' : 'en'
  localStorage.setItem(KEY, language)
  showLanguage()
}

export function showLanguage() {
  document.documentElement.lang = language === 'zh' ? 'zh-Hans' : 'en'
  document.title = text('title')
  translate()
  for (const show of listeners) show()
}
