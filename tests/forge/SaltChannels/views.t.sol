// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {ISaltChannels} from "../../../contracts/interfaces/ISaltChannels.sol";
import {SaltChannels, newSaltChannels} from "../support/Contracts.sol";
import {SaltChannelsTest} from "./SaltChannelsTest.sol";

/// @notice Digests and identifiers, against EIP-712 written out in the plainest way.
contract SaltChannels_views is SaltChannelsTest {
    function test_domain_isTheOneThatIsDocumented() external view {
        (, string memory name, string memory version, uint256 chainId, address verifying,,) = channels.eip712Domain();
        assertEq(name, "SaltChannels");
        assertEq(version, "1");
        assertEq(chainId, block.chainid);
        assertEq(verifying, address(channels));
        assertEq(channels.DOMAIN_SEPARATOR(), domain());
    }

    function test_bounds_areFifteenMinutesAndThirtyDays() external view {
        assertEq(channels.MIN_EXIT_DELAY(), 900);
        assertEq(channels.MAX_EXIT_DELAY(), 2_592_000);
    }

    function test_stateOf_isAllZero_whenChannelWasNeverOpened() external view {
        assertState(channelIn(NATIVE), 0, 0, 0, false);
    }

    function test_channelId_isAnotherOnAnotherContractAndOnAnotherChain() external {
        bytes32 id = channels.channelId(channelIn(NATIVE));
        uint256 before = vm.snapshotState();
        SaltChannels other = newSaltChannels();
        bytes32 otherId = other.channelId(channelIn(NATIVE));
        vm.revertToState(before);
        vm.chainId(block.chainid + 1);
        SaltChannels elsewhere = newSaltChannels();
        bytes32 idElsewhere = elsewhere.channelId(channelIn(NATIVE));

        assertEq(address(elsewhere), address(other));
        assertTrue(id != otherId && id != idElsewhere && otherId != idElsewhere);
    }

    function testFuzz_channelId_isTheHashOfTheDescriptor(ISaltChannels.Channel memory channel) external view {
        assertEq(channels.channelId(channel), idOf(channel));
    }

    function testFuzz_digests_areThoseOfTheTypes(bytes32 id, uint256 a, uint256 b, uint256 c) external view {
        assertEq(
            channels.voucherDigest(id, a),
            digest(keccak256(abi.encode(keccak256("Voucher(bytes32 channel,uint256 ceiling)"), id, a)))
        );
        assertEq(
            channels.depositDigest(id, a, b, c),
            digest(
                keccak256(
                    abi.encode(
                        keccak256("Deposit(bytes32 channel,uint256 amount,uint256 depositBefore,uint256 deadline)"),
                        id,
                        a,
                        b,
                        c
                    )
                )
            )
        );
        assertEq(
            channels.closeDigest(id, a),
            digest(keccak256(abi.encode(keccak256("Close(bytes32 channel,uint256 total)"), id, a)))
        );
        assertEq(
            channels.exitDigest(id, a),
            digest(keccak256(abi.encode(keccak256("Exit(bytes32 channel,uint256 deposit)"), id, a)))
        );
        assertEq(channels.authorizationNonce(id, a), keccak256(abi.encode(id, a)));
    }

    function testFuzz_claimsDigest_isOfTheTotalsInOrder(address to, address asset, ISaltChannels.Claim[3] memory rows)
        external
        view
    {
        ISaltChannels.Claim[] memory claims = new ISaltChannels.Claim[](3);
        bytes memory hashes;
        for (uint256 i = 0; i < 3; ++i) {
            claims[i] = rows[i];
            bytes32 id =
                idOf(ISaltChannels.Channel(rows[i].payer, to, asset, rows[i].signer, rows[i].exitDelay, rows[i].salt));
            hashes = bytes.concat(
                hashes, keccak256(abi.encode(keccak256("ClaimTotal(bytes32 channel,uint256 total)"), id, rows[i].total))
            );
        }
        assertEq(
            channels.claimsDigest(to, asset, claims),
            digest(
                keccak256(
                    abi.encode(
                        keccak256("Claims(ClaimTotal[] totals)ClaimTotal(bytes32 channel,uint256 total)"),
                        keccak256(hashes)
                    )
                )
            )
        );
    }

    function test_typehashes_areThoseOfTheDocumentedTypes() external view {
        assertEq(
            channels.CHANNEL_TYPEHASH(),
            keccak256("Channel(address payer,address payee,address asset,address signer,uint32 exitDelay,bytes32 salt)")
        );
        assertEq(channels.VOUCHER_TYPEHASH(), keccak256("Voucher(bytes32 channel,uint256 ceiling)"));
        assertEq(
            channels.DEPOSIT_TYPEHASH(),
            keccak256("Deposit(bytes32 channel,uint256 amount,uint256 depositBefore,uint256 deadline)")
        );
        assertEq(channels.CLAIM_TOTAL_TYPEHASH(), keccak256("ClaimTotal(bytes32 channel,uint256 total)"));
        assertEq(
            channels.CLAIMS_TYPEHASH(),
            keccak256("Claims(ClaimTotal[] totals)ClaimTotal(bytes32 channel,uint256 total)")
        );
        assertEq(channels.CLOSE_TYPEHASH(), keccak256("Close(bytes32 channel,uint256 total)"));
        assertEq(channels.EXIT_TYPEHASH(), keccak256("Exit(bytes32 channel,uint256 deposit)"));
        assertEq(
            channels.DEPOSIT_WITNESS_TYPEHASH(), keccak256("DepositWitness(bytes32 channel,uint256 depositBefore)")
        );
    }

    /// @dev SaltChannels has no receive and no fallback: coins that belong to no channel are refused.
    function test_receive_refusesPlainCoins() external {
        vm.prank(payer.addr);
        (bool accepted,) = address(channels).call{value: 1 ether}("");
        assertFalse(accepted);
    }

    function idOf(ISaltChannels.Channel memory channel) private view returns (bytes32) {
        return digest(
            keccak256(
                abi.encode(
                    keccak256(
                        "Channel(address payer,address payee,address asset,address signer,uint32 exitDelay,bytes32 salt)"
                    ),
                    channel.payer,
                    channel.payee,
                    channel.asset,
                    channel.signer,
                    channel.exitDelay,
                    channel.salt
                )
            )
        );
    }

    function digest(bytes32 structHash) private view returns (bytes32) {
        return keccak256(abi.encodePacked("\x19\x01", domain(), structHash));
    }

    function domain() private view returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("SaltChannels"),
                keccak256("1"),
                block.chainid,
                address(channels)
            )
        );
    }
}
