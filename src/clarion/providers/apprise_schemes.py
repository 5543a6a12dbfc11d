"""Services of the Apprise library that can be used: those that use HTTP alone and need no library of their own.

Excluded are e-mail by SMTP, MQTT, IRC, XMPP, AMQP, syslog, the desktop, hardware, services that read keys from files of
this machine (`fcm`, `vapid`), and services that open their own connections.
"""

from typing import Final

_WORDS: Final = """
    46elks apprise apprises atalk bark barks betterstack bluesky brevo bsky bulksms bulkvs burstsms chanify
    clickatell clicksend cliq cm d7sms dapnet dingtalk discord dot eight00com elks emby embys enigma2 enigma2s
    evolution evolutions exotel feishu firehydrant flock flowtriq flowtriqs fluxer fluxers form forms freemobile
    gchat github gorush gorushs gotify gotifys groundmail groupme hassio hassios httpsms humhub humhubs ifttt ilert
    incidentio infobip join json jsons kakao kakaotalk kaleyra kavenegar klr kodi kodis kook kudosity kumulos
    lametric lametrics lark lauther lfg line mailersend mailgun mastodon mastodons matrix matrixs misskey misskeys
    mmost mmosts mobilemessage mobilemsg msg91 msgbird ncloud nclouds nctalk nctalks nexmo notica noticas notifiarr
    notifico notificos notifyre ntfy ntfys octopush onebot onebots onesignal pagerduty parsep parseps pbul pinglet
    pinglets pingram pjet pjets plivo postmark pover prowl psafer psafers push pushdeer pushdeers pushed pushme
    pushplus pushward pushy qq reddit resend revolt ringc rocket rockets ryver schan sendgrid sendpulse serwersms
    ses seven sfr signal signalgrid signals signl4 simplepush sinch slack smsc smseagle smseagles smsmanager smsmgr
    smstunnel smtp2go sns sparkpost spike splunk spugpush spush squadcast stackfield strmlabs synology synologys
    telesign telnyx tgram threema toot toots trigv trigvs tweet twilio twist twitter viber victorops voipms vonage
    webex wechat wecom wecombot whapi whatsapp workflow workflows wpush wxpusher wxteams x xbmc xbmcs xmatters xml
    xmls youlmk zalo zcliq zohocliq zoom zulip
"""

SCHEMES: Final = frozenset(_WORDS.split())
