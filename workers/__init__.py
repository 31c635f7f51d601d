"""The agents that ship with agenthost; installs as ``agenthost_workers``.

================  ====================================================================================
``echo``          replies with what it was sent
``command``       a program that speaks JSON lines, as an agent (config: ``protocol: lines``)
``lines``         the two pipes of such a program: one line out, one line back
``chat``          a conversation with any OpenAI-compatible endpoint
``completion``    one streamed answer of such an endpoint, whole or not at all
``again``         asking again while whoever was asked is being restarted
``model_server``  a program: a local model behind an OpenAI-compatible endpoint that logs who asked
================  ====================================================================================
"""
