/**
 * A small labelled corpus of our own: sentence patterns filled with names, places, organisations and times. People and
 * organisations are put together from parts and stand for nobody. The dev part has patterns, given names and
 * organisations of its own, so that its scores say something.
 */

import { createRandom, mixSeed, type Random } from '../random.js';
import type { LabelledSentence } from './sentences.js';

export type SamplePart = 'train' | 'dev';

export interface SampleOptions {
  seed: number;
  sentences: number;
  part: SamplePart;
}

const SURNAMES =
  '王李张刘陈杨黄赵吴周徐孙马朱胡郭何林罗高梁郑谢宋唐许韩冯邓曹彭曾萧田董袁潘于蒋蔡余杜叶程苏魏吕丁任沈姚卢'.split(
    '',
  );
const DOUBLE_SURNAMES = ['欧阳', '上官', '司马', '诸葛'];
const GIVEN: Record<SamplePart, string[]> = {
  train:
    '明华强伟芳娜敏静丽军洋勇艳杰娟涛超秀霞平刚桂英玉兰建国志文海燕雪梅晓东春红冬立新思雨子涵浩然佳怡'.split(
      '',
    ),
  dev: '宁翔彤磊莹凯旭欣博晨琳俊辉瑶昊轩诗涵紫薇逸飞若曦天成'.split(''),
};
const CITIES =
  '北京 上海 广州 深圳 杭州 南京 成都 武汉 西安 重庆 天津 苏州 长沙 青岛 大连 厦门 昆明 沈阳 郑州 济南'.split(
    ' ',
  );
const REGIONS =
  '广东省 四川省 浙江省 江苏省 湖北省 云南省 河北省 内蒙古 新疆 西藏 香港 澳门 台湾 长三角 东北'.split(' ');
const COUNTRIES = '中国 美国 日本 法国 德国 英国 俄罗斯 巴西 印度 埃及 泰国 加拿大'.split(' ');
const DISTRICTS: Record<SamplePart, string[]> = {
  train: '朝阳区 海淀区 浦东新区 天河区 西湖区 武侯区 洪山区 雁塔区'.split(' '),
  dev: '徐汇区 南山区 鼓楼区 渝中区'.split(' '),
};
const ORG_NAMES: Record<SamplePart, string[]> = {
  train: '华星 远航 金鼎 宏图 天宇 恒信 蓝海 新源 东方 博达 联创 瑞丰 ＡＢＣ 启明'.split(' '),
  dev: '鸿运 安泰 星云 中盛 百川 XYZ 云帆'.split(' '),
};
const ORG_KINDS = '科技公司 集团 银行 有限公司 电子厂 出版社 保险公司 物流公司 研究院 律师事务所'.split(' ');
const SCHOOL_KINDS = '大学 师范大学 理工大学 第一中学 医学院 实验小学'.split(' ');
const OFFICE_KINDS = '市政府 公安局 教育局 卫生局 人民法院 第一人民医院 图书馆 电视台 日报社'.split(' ');
const PARTS_OF_DAY = '上午 下午 晚上 凌晨 中午 早上'.split(' ');
const RELATIVE_DAYS =
  '今天 昨天 明天 后天 前天 上周五 下周一 本月底 去年 今年 明年春天 去年夏天 周末 国庆节 春节期间'.split(' ');

/** {P} a person, {L} a place, {O} an organisation, {T} a time; everything else is text. */
const PATTERNS: Record<SamplePart, string[]> = {
  train: [
    '{P}在{L}工作。',
    '{T}，{P}从{L}飞往{L}。',
    '{O}{T}在{L}召开发布会。',
    '{P}是{O}的经理。',
    '据{O}消息，{T}{L}将有大雨。',
    '{P}和{P}{T}参观了{O}。',
    '{O}总裁{P}表示，公司将在{L}建厂。',
    '我{T}要去{L}出差，你呢？',
    '{P}毕业于{O}，现住{L}。',
    '记者{P}{L}报道',
    '{T}，{L}气温下降到零下5度。',
    '{P}、{P}、{P}三人获奖。',
    '{O}与{O}签署了合作协议。',
    '听说{P}要离开{O}了😀',
    '{L}的房价{T}上涨了3%。',
    '姓名：{P}，籍贯：{L}，学历：本科',
    '{T}至{T}，任职于{O}',
    '{P}老师{T}给我们上课。',
    '快递已到{L}，请{P}尽快领取。',
    '{O}位于{L}，成立于{T}。',
    '会议定于{T}举行，地点在{O}。',
    '{P}说：“我{T}回{L}。”',
    '{L}和{L}之间的高铁{T}开通。',
    '今天天气不错，适合散步。',
    '这本书的价格是３８元。',
    '请问怎么走？',
    '他的电话是13800000000，别忘了。',
    '我觉得这个方案可以，你再看看吧。',
    '公司决定扩大生产规模，提高质量。',
    '{P}（{O}）发表了演讲。',
    '{T}，{O}宣布任命{P}为首席执行官CEO。',
    '{L}{O}招聘工程师，要求3年以上经验。',
    '@{P} {T}的会改到{T}了',
    '{P}出生于{T}，{L}人。',
    '欢迎来到{L}！',
    '{T}的比赛中，{L}队以2:1获胜。',
    '感谢{P}对{O}的支持。',
    '由{O}主办的展览{T}在{L}开幕。',
    '{P}的父亲在{O}当医生。',
    '从{L}到{L}大约需要2小时。',
    '{O}发言人{P}{T}回答了记者提问。',
    '手机没电了，回头再聊。',
    '这家餐厅的菜很好吃，价格也不贵。',
    '{L}举办了音乐节，吸引了上万人。',
    '{P}{T}被{O}录取。',
    '[INFO] user={P} city={L} status=ok',
    '{T} {P} 登录系统',
    '{P}、{O}、{L}都在名单上。',
    '经过讨论，大家一致同意。',
    '{O}的股价{T}大涨。',
    '{P}曾在{L}生活多年。',
    '{L}警方{T}通报，{P}已被找到。',
    '{P}向{O}捐款10万元。',
    '{T}我们在{L}见面，好吗？',
    '原{O}院长{P}{T}退休。',
    '{L}是{L}的省会吗？',
    '{P}写的小说由{O}出版。',
    '{O}在{L}、{L}设有分公司。',
    '下一站，{L}。',
    '他买了两张票，一张给了{P}。',
    '考试成绩将于{T}公布。',
    '{P}你好，我是{O}的{P}。',
    'CTO{P} will visit {O} in {L} next month.',
    'We met {P} at {O} yesterday 👍',
    'Hi {P}, the meeting in {L} starts {T}, OK?',
    'HR经理{P} (Tel: 010-1234) {T} on leave',
    'Made in {L} by {O}, {T}.',
    'PPT发给{P}了吗？deadline是{T}。',
  ],
  dev: [
    '{P}{T}抵达{L}，开始访问。',
    '{O}计划{T}在{L}开设新店。',
    '{P}担任{O}主任。',
    '我和{P}约好{T}去{L}玩。',
    '{L}{T}发生地震。',
    '{O}的{P}获得了一等奖。',
    '工作经历：{T}，{O}，工程师',
    '{P}告诉{P}，{O}{T}放假。',
    '这件事我还要再想想。',
    '{L}的冬天很冷。',
    '{T}，{P}在{O}作报告👍',
    '来自{L}的{P}参加了活动。',
    '{O}和{O}都在{L}。',
    '价格太高了，能不能便宜一点？',
    '{P}将于{T}离任。',
    '请把文件交给{O}的{P}。',
  ],
};

type Filler = (random: Random, part: SamplePart) => string;

const pick = <T>(random: Random, values: readonly T[]): T => values[random.int(values.length)];

const person: Filler = (random, part) => {
  const surname = random.next() < 0.04 ? pick(random, DOUBLE_SURNAMES) : pick(random, SURNAMES);
  // Dev names are half new characters, half known ones.
  const character = () => pick(random, GIVEN[random.next() < 0.5 ? part : 'train']);
  return surname + character() + (random.next() < 0.6 ? character() : '');
};

const place: Filler = (random, part) => {
  const kind = random.next();
  if (kind < 0.5) return pick(random, CITIES) + (random.next() < 0.2 ? '市' : '');
  if (kind < 0.65) return pick(random, REGIONS);
  if (kind < 0.8) return pick(random, COUNTRIES);
  return pick(random, CITIES) + (random.next() < 0.5 ? '市' : '') + pick(random, DISTRICTS[part]);
};

const organisation: Filler = (random, part) => {
  const kind = random.next();
  if (kind < 0.6) {
    return (
      (random.next() < 0.3 ? pick(random, CITIES) : '') +
      pick(random, ORG_NAMES[part]) +
      pick(random, ORG_KINDS)
    );
  }
  return pick(random, CITIES) + pick(random, kind < 0.8 ? SCHOOL_KINDS : OFFICE_KINDS);
};

const time: Filler = (random) => {
  const wide = random.next() < 0.1;
  const number = (from: number, count: number) => {
    const digits = String(from + random.int(count));
    return wide
      ? digits.replace(/\d/g, (digit) => String.fromCharCode(digit.charCodeAt(0) + 0xfee0))
      : digits;
  };
  const kind = random.next();
  if (kind < 0.25) return `${number(1990, 36)}年${number(1, 12)}月${number(1, 28)}日`;
  if (kind < 0.4) return `${number(1, 12)}月${number(1, 28)}日`;
  if (kind < 0.5) return `${number(1990, 36)}年`;
  if (kind < 0.65) return `${pick(random, PARTS_OF_DAY)}${number(1, 12)}点`;
  return pick(random, RELATIVE_DAYS);
};

const FILLERS: Readonly<Record<string, { label: string; fill: Filler }>> = {
  P: { label: 'PER', fill: person },
  L: { label: 'LOC', fill: place },
  O: { label: 'ORG', fill: organisation },
  T: { label: 'T', fill: time },
};

/** Equal options give equal sentences. */
export function generateSampleCorpus({ seed, sentences, part }: SampleOptions): LabelledSentence[] {
  const random = createRandom(mixSeed(seed, part === 'train' ? 0 : 1));
  return Array.from({ length: sentences }, (_, index) => ({
    ...fillPattern(pick(random, PATTERNS[part]), part, random),
    file: `sample-${part}`,
    line: index + 1,
  }));
}

function fillPattern(
  pattern: string,
  part: SamplePart,
  random: Random,
): Pick<LabelledSentence, 'text' | 'spans'> {
  let text = '';
  const spans: LabelledSentence['spans'] = [];
  for (const piece of pattern.split(/(\{[PLOT]\})/)) {
    const filler = /^\{[PLOT]\}$/.test(piece) ? FILLERS[piece[1]] : undefined;
    if (!filler) {
      text += piece;
      continue;
    }
    const start = text.length;
    text += filler.fill(random, part);
    spans.push({ start, end: text.length, label: filler.label });
  }
  return { text, spans };
}
